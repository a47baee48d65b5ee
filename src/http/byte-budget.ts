/** A limit on the memory that clients use up in this process: bytes of large bodies, or of large responses. */
import { type Clock, monotonicClock, msPerS } from '../runtime/clock.ts'

/** The bytes that are held for one request. */
export interface ByteHold {
  /**
   * Holds this number of bytes instead of the previous one. After `release` it does nothing.
   * @returns false if there is no room; the hold is unchanged then
   */
  resize(bytes: number): boolean
  /** May be called again. */
  release(): void
}

/** The client for whose request bytes are held. */
export interface BudgetClient {
  /** Bytes that it has sent or received since its connection was opened. */
  moved(): number
  /** Whether this process is waiting for the client. */
  isAwaited(): boolean
  /** Ends the request because others need the memory. The hold is released already. */
  cutOff(): void
}

export interface ByteBudget {
  open(client: BudgetClient): ByteHold
  /** Bytes of all holds at the moment. */
  held(): number
}

interface OpenHold {
  readonly client: BudgetClient
  readonly release: () => void
  /** Bytes that the client had moved when the measurement of its speed began. */
  movedBefore: number
  measuredSince: number
}

/** A client must be this fast while others need its memory: a body of 1 MiB then arrives within its 60 s. */
const minBytesPerS = 16_384
/** Over shorter times the speed of a connection is meaningless. */
const minMeasuredMs = 5_000
const checkIntervalMs = 500

/**
 * When there is no room for a request, slow clients that hold bytes are cut off. Otherwise clients that send or read byte by
 * byte could keep all others out.
 * @param maxBytes of all holds; a single hold may be larger while there is no other
 */
export function createByteBudget(maxBytes: number, clock: Clock = monotonicClock): ByteBudget {
  const openHolds = new Set<OpenHold>()
  let total = 0
  let checkedAt = Number.NEGATIVE_INFINITY

  function cutOffSlowClients(): void {
    const now = clock.now()
    if (now - checkedAt < checkIntervalMs) return
    checkedAt = now
    for (const hold of openHolds) {
      const moved = hold.client.moved()
      const elapsedMs = now - hold.measuredSince
      const isAwaited = hold.client.isAwaited()
      if (isAwaited && elapsedMs < minMeasuredMs) continue
      const isSlow = (moved - hold.movedBefore) * msPerS < minBytesPerS * elapsedMs
      if (isAwaited && isSlow) {
        hold.release()
        hold.client.cutOff()
      } else {
        hold.movedBefore = moved
        hold.measuredSince = now
      }
    }
  }

  return {
    open(client) {
      let heldBytes = 0
      let isReleased = false
      function release(): void {
        isReleased = true
        total -= heldBytes
        heldBytes = 0
        openHolds.delete(opened)
      }
      const opened: OpenHold = { client, release, movedBefore: client.moved(), measuredSince: clock.now() }
      openHolds.add(opened)

      const isOnly = (): boolean => total === heldBytes
      const fits = (bytes: number): boolean => bytes <= heldBytes || isOnly() || total - heldBytes + bytes <= maxBytes
      return {
        resize(bytes) {
          if (isReleased) return true
          if (!fits(bytes)) cutOffSlowClients()
          // This client may have been one of the slow ones.
          if (isReleased || !fits(bytes)) return false
          total += bytes - heldBytes
          heldBytes = bytes
          return true
        },
        release,
      }
    },
    held: () => total,
  }
}
