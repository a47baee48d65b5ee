/** Webhooks: addresses, secrets and deliveries. A delivery tells a receiver that a run has ended. */

const maxUrlLength = 2_048
const secretPrefix = 'whsec_'

/** Whether something can be sent there at all; which addresses are refused is found out at every try. */
export function isWebhookUrl(text: string): boolean {
  if (text.length > maxUrlLength || !/^https?:\/\//i.test(text)) return false
  const url = URL.parse(text)
  // A request to port 0 would go to the port of the scheme.
  return url !== null && url.port !== '0' && isDecodable(url.username) && isDecodable(url.password)
}

/** `URL.parse` accepts a user and a password that cannot be decoded, and with these no request can be made. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** As it is kept: in a form that every database takes. */
export function keptUrl(url: string): string {
  return /^[!-~]+$/.test(url) ? url : new URL(url).href
}

/** Without the user and the password that it may have. */
export function shownUrl(url: string): string {
  const shown = URL.parse(url)
  if (shown === null) return ''
  if (shown.username === '' && shown.password === '') return url
  shown.username = ''
  shown.password = ''
  return shown.href
}

export function isWebhookSecret(text: string): boolean {
  return /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?|[A-Za-z0-9+/]{4})$/.test(text)
}

/** The length of the key that the secret holds. */
export function secretBytes(secret: string): number {
  return keyOf(secret).length
}

/** The key of a secret that `isWebhookSecret`. */
export function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(secretPrefix.length), 'base64')
}

/** `pending`: it is sent, or sent again, at `nextAt`; `failed`: given up, or the receiver wants no more (410). */
export const deliveryStates = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof deliveryStates)[number]

/** A delivery as a store gives it to readers. Instants are epoch milliseconds. */
export interface DeliveryRecord {
  /** Of its run, when it ended: the number of the delivery. */
  readonly version: number
  readonly state: DeliveryState
  /** Tries that have ended. */
  readonly attempts: number
  /** HTTP status of the last try; null where there was no answer. */
  readonly lastStatus: number | null
  /** When it is sent next; null where it is over. */
  readonly nextAt: number | null
}

/** What a try has come to. */
export type TryResult = Pick<DeliveryRecord, 'state' | 'lastStatus' | 'nextAt'>

/** The same for every try; no full stop in it, for that separates it from the time in what is signed. */
export function deliveryId({ runId, version }: { readonly runId: string; readonly version: number }): string {
  return `msg_${runId.replaceAll('-', '')}_${version}`
}

/** Number of the run's delivery that has this id; null where the run has no such delivery. */
export function deliveryVersion(runId: string, id: string): number | null {
  const version = Number(/_(?<version>[1-9]\d{0,8})$/.exec(id)?.groups?.['version'])
  return id === deliveryId({ runId, version }) ? version : null
}

/** Before the second try, the third, and so on: as the contract says. */
const waitsMs = [5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 28_800_000, 28_800_000]
const jitter = 0.1
/** Clocks of two processes may differ by that much. */
const toleranceMs = 1_000
/** After each number of tries that have ended, from 0 on: no delivery waits longer for the next one. */
export const maxDeliveryWaitsMs = [toleranceMs, ...waitsMs.map((waitMs) => Math.ceil(waitMs * (1 + jitter)))]

/**
 * When a delivery is sent again; null where it is given up.
 * @param attempts tries that have ended
 * @param random from 0 to 1
 */
export function nextTryAt(attempts: number, at: number, random: number): number | null {
  const waitMs = waitsMs[attempts - 1]
  return waitMs === undefined ? null : Math.round(at + waitMs * (1 + (random * 2 - 1) * jitter))
}
