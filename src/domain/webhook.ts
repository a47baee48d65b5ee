/** Webhooks: URLs, secrets and deliveries. A delivery notifies a receiver that a run has ended. */

const maxUrlLength = 2_048
const secretPrefix = 'whsec_'

/** Whether the URL can be requested at all. Whether its address is allowed is checked at every try. */
export function isWebhookUrl(text: string): boolean {
  if (text.length > maxUrlLength || !/^https?:\/\//i.test(text)) return false
  const url = URL.parse(text)
  // A request to port 0 would go to the port of the scheme.
  return url !== null && url.port !== '0' && isDecodable(url.username) && isDecodable(url.password)
}

/** `URL.parse` accepts a user and a password that cannot be decoded, and a request with these fails. */
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** The form in which a URL is stored: ASCII only. */
export function keptUrl(url: string): string {
  return /^[!-~]+$/.test(url) ? url : new URL(url).href
}

/** The URL without user and password. */
export function shownUrl(url: string): string {
  const shown = URL.parse(url)
  if (shown === null) return ''
  if (shown.username === '' && shown.password === '') return url
  shown.username = ''
  shown.password = ''
  return shown.href
}

/** Whether it is the prefix and at least one byte in Base64, with or without padding. */
export function isWebhookSecret(text: string): boolean {
  return /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?|[A-Za-z0-9+/]{4})$/.test(text)
}

/** The key of a valid secret. */
export function keyOf(secret: string): Buffer {
  return Buffer.from(secret.slice(secretPrefix.length), 'base64')
}

/** `pending`: the next try is at `nextAt`. `failed`: given up, or the receiver replied 410. */
export const deliveryStates = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof deliveryStates)[number]

/** A delivery as a store gives it to readers. Instants are epoch milliseconds. */
export interface DeliveryRecord {
  /** The run's version when it ended. It identifies the delivery within the run. */
  readonly version: number
  readonly state: DeliveryState
  /** Tries that have ended. */
  readonly attempts: number
  /** HTTP status of the last try; null: no response. */
  readonly lastStatus: number | null
  /** When the next try is due; null: there is none. */
  readonly nextAt: number | null
}

export type TryResult = Pick<DeliveryRecord, 'state' | 'lastStatus' | 'nextAt'>

/** The same for every try. It contains no full stop: in the signed text that separates the id from the time. */
export function deliveryId({ runId, version }: { readonly runId: string; readonly version: number }): string {
  return `msg_${runId.replaceAll('-', '')}_${version}`
}

/** Version of the run's delivery with this id; null: the id belongs to no delivery of this run. */
export function deliveryVersion(runId: string, id: string): number | null {
  const version = Number(/_(?<version>[1-9]\d{0,8})$/.exec(id)?.groups?.['version'])
  return id === deliveryId({ runId, version }) ? version : null
}

/** Before the second try, the third, and so on: part of the contract. */
const waitsMs = [5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 28_800_000, 28_800_000]
const jitter = 0.1
/** How far the clocks of two processes may differ. */
const toleranceMs = 1_000
/** The longest wait for the next try, by the number of ended tries. The first try is due at once, on whatever clock. */
export const maxDeliveryWaitsMs = [toleranceMs, ...waitsMs.map((waitMs) => Math.ceil(waitMs * (1 + jitter)))]

/**
 * When the next try is due; null: the delivery is given up.
 * @param attempts tries that have ended
 * @param random uniform in [0, 1)
 */
export function nextTryAt(attempts: number, at: number, random: number): number | null {
  const waitMs = waitsMs[attempts - 1]
  return waitMs === undefined ? null : Math.round(at + waitMs * (1 + (random * 2 - 1) * jitter))
}
