/** How the last try of each receiver ended, and how many tries it may have at once: a receiver that fails or hangs delays no other. */
import type { DeliveryRequest } from '../store/claim-requests.ts'

/** `slow`: it was delivered, but took long. */
type LastTry = 'delivered' | 'slow' | 'failed'

export interface Receivers {
  /** Notes how a try ended. @returns whether the receiver has begun to fail, or has recovered; null: neither */
  note(receiver: string, isDelivered: boolean, tookMs: number): 'fails' | 'recovered' | null
  /** What may be claimed while these deliveries are being sent. */
  room(
    sending: Iterable<{ readonly receiver: string }>,
  ): Pick<DeliveryRequest, 'limit' | 'perReceiver' | 'rooms' | 'late'>
}

/** Tries under way to all receivers. */
export const maxAtOnce = 64
/** Tries under way to a receiver whose last try was delivered. */
const maxPerReceiver = 16
/** The same for any other receiver. */
const perReceiver = 1
/** Tries under way to all late receivers: those whose last try failed or was slow. The rest of `maxAtOnce` is for the others. */
const maxLate = 32
const slowMs = 1_000
/** Beyond this number, the receiver with the oldest try is forgotten. */
const maxKnown = 2_000

export function createReceivers(): Receivers {
  /** In the order of their last tries. */
  const lastTries = new Map<string, LastTry>()

  return {
    note(receiver, isDelivered, tookMs) {
      const hadFailed = lastTries.get(receiver) === 'failed'
      lastTries.delete(receiver)
      lastTries.set(receiver, isDelivered ? (tookMs >= slowMs ? 'slow' : 'delivered') : 'failed')
      const [oldest] = lastTries.keys()
      if (lastTries.size > maxKnown && oldest !== undefined) lastTries.delete(oldest)
      if (isDelivered) return hadFailed ? 'recovered' : null
      return hadFailed ? null : 'fails'
    },
    room(sending) {
      const rooms: Record<string, number> = {}
      const late = new Set<string>()
      for (const [receiver, lastTry] of lastTries) {
        if (lastTry !== 'failed') rooms[receiver] = maxPerReceiver
        if (lastTry !== 'delivered') late.add(receiver)
      }
      let limit = maxAtOnce
      let lateLimit = maxLate
      for (const { receiver } of sending) {
        limit -= 1
        rooms[receiver] = (rooms[receiver] ?? perReceiver) - 1
        if (late.has(receiver)) lateLimit -= 1
      }
      return { limit, perReceiver, rooms, late: { receivers: [...late], limit: Math.max(0, lateLimit) } }
    },
  }
}
