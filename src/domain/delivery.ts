/** Deliveries: each says to a receiver, by a webhook, that a run has ended. */

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

/** Number of the run's delivery that has this id; null where the id is none of the run's. */
export function deliveryVersion(runId: string, id: string): number | null {
  const version = Number(/_(?<version>[1-9]\d{0,8})$/.exec(id)?.groups?.['version'])
  return id === deliveryId({ runId, version }) ? version : null
}

/** Before the second try, the third, and so on: as the contract says. */
const waitsMs = [5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 28_800_000, 28_800_000]
const jitter = 0.1
/** No delivery waits longer for a try. */
export const maxDeliveryWaitMs = Math.max(...waitsMs) * (1 + jitter)

/**
 * When a delivery is sent again; null where it is given up.
 * @param attempts tries that have ended
 * @param random from 0 to 1
 */
export function nextTryAt(attempts: number, at: number, random: number): number | null {
  const waitMs = waitsMs[attempts - 1]
  return waitMs === undefined ? null : Math.round(at + waitMs * (1 + (random * 2 - 1) * jitter))
}
