/** What is known of receivers, and how many webhooks may be under way to them: so that one that fails or hangs holds up no other. */
import type { DeliveryRequest } from '../store/claim-requests.ts'

/** How the last try of a receiver ended; `slow`: it was delivered after a long time. */
type LastTry = 'taken' | 'slow' | 'failed'

export interface Receivers {
  /** @returns whether its last try had failed before this one */
  note(receiver: string, outcome: 'taken' | 'failed', tookMs: number): boolean
  /** What may be claimed, while these tries are under way. */
  room(
    underWay: Iterable<{ readonly receiver: string }>,
  ): Pick<DeliveryRequest, 'limit' | 'perReceiver' | 'rooms' | 'late'>
}

export const maxAtOnce = 64
/** Of a receiver whose last try was delivered; any other one gets one at a time. */
const maxPerReceiver = 16
/** Of all receivers together whose last try has failed or was slow: however many there are, others have room. */
const maxOfLate = 32
const slowMs = 1_000
/** Of any more, the receiver that was tried longest ago is forgotten. */
const maxKnown = 2_000

export function createReceivers(): Receivers {
  /** The latest last. */
  const known = new Map<string, LastTry>()

  return {
    note(receiver, outcome, tookMs) {
      const before = known.get(receiver)
      known.delete(receiver)
      known.set(receiver, outcome === 'taken' && tookMs >= slowMs ? 'slow' : outcome)
      const [longestAgo] = known.keys()
      if (known.size > maxKnown && longestAgo !== undefined) known.delete(longestAgo)
      return before === 'failed'
    },
    room(underWay) {
      const rooms: Record<string, number> = {}
      const late = new Set<string>()
      for (const [receiver, last] of known) {
        if (last !== 'failed') rooms[receiver] = maxPerReceiver
        if (last !== 'taken') late.add(receiver)
      }
      let limit = maxAtOnce
      let leftOfLate = maxOfLate
      for (const { receiver } of underWay) {
        limit -= 1
        rooms[receiver] = (rooms[receiver] ?? 1) - 1
        if (late.has(receiver)) leftOfLate -= 1
      }
      return { limit, perReceiver: 1, rooms, late: { receivers: [...late], limit: Math.max(0, leftOfLate) } }
    },
  }
}
