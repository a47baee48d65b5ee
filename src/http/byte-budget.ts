/** Bounds the bytes that clients decide about and this process holds for them, over all requests together. */
import { type Clock, monotonicClock } from '../runtime/clock.ts'

export interface ByteHold {
  /**
   * Holds this many bytes instead of those before.
   * @returns false where there is no room for them; the hold is then as it was. After `release` nothing is held.
   */
  resize(bytes: number): boolean
  /** Gives all of them back; more than once is harmless. */
  release(): void
}

/** The client for which bytes are held. */
export interface HoldingClient {
  /** Bytes that it has sent or taken since its connection was opened. */
  moved(): number
  /** Whether this process waits for it, and not the other way round. */
  isAwaited(): boolean
  /** Ends its request, for others need the room; the hold is released already. */
  cutOff(): void
}

export interface ByteBudget {
  open(client: HoldingClient): ByteHold
  /** Bytes that are held now. */
  held(): number
}

interface Held {
  readonly client: HoldingClient
  readonly release: () => void
  /** What it had moved at which time. */
  moved: number
  at: number
}

/** A client that keeps others out has to move so much; a body of 1 MiB then comes within its 60 s. */
const minBytesPerS = 16_384
/** What connections move in shorter times says nothing. */
const graceMs = 5_000
const lookMs = 500
const msPerS = 1_000

/**
 * Where there is no room for a client, those are cut off that hold some and move slowly: a client that sends or reads
 * byte by byte would keep all others out.
 * @param maxBytes in all; a single hold of any size fits when there is no other
 */
export function createByteBudget(maxBytes: number, clock: Clock = monotonicClock): ByteBudget {
  const holds = new Set<Held>()
  let total = 0
  let lookedAt = Number.NEGATIVE_INFINITY

  function cutOffSlow(): void {
    const now = clock.now()
    if (now - lookedAt < lookMs) return
    lookedAt = now
    for (const held of holds) {
      const moved = held.client.moved()
      const elapsedMs = now - held.at
      const isAwaited = held.client.isAwaited()
      if (isAwaited && elapsedMs < graceMs) continue
      if (isAwaited && (moved - held.moved) * msPerS < minBytesPerS * elapsedMs) {
        held.release()
        held.client.cutOff()
      } else {
        held.moved = moved
        held.at = now
      }
    }
  }

  return {
    open(client) {
      let own = 0
      let isReleased = false
      function release(): void {
        isReleased = true
        total -= own
        own = 0
        holds.delete(held)
      }
      const held: Held = { client, release, moved: client.moved(), at: clock.now() }
      holds.add(held)

      const fits = (bytes: number): boolean => bytes <= own || total === own || total - own + bytes <= maxBytes
      return {
        resize(bytes) {
          if (isReleased) return true
          if (!fits(bytes)) cutOffSlow()
          // It may have been one of them.
          if (isReleased || !fits(bytes)) return false
          total += bytes - own
          own = bytes
          return true
        },
        release,
      }
    },
    held: () => total,
  }
}
