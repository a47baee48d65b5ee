/** Looks for due deliveries: one look at a time, at all receivers in turn, or only at those that have room again. */
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { DeliveryClaims } from '../store/claim-requests.ts'
import { maxAtOnce } from './receivers.ts'

export interface LooksOptions {
  /** Claims due deliveries, of the receivers after this one or of these, and begins to send them. */
  readonly claim: (after: string, among?: readonly string[]) => Promise<DeliveryClaims>
  /** Releases the deliveries that this process has claimed and does not send. */
  readonly release: () => Promise<unknown>
  /** The number of tries under way. */
  readonly sendingCount: () => number
  /** Whether other processes send deliveries too. */
  readonly isShared: boolean
  readonly clock: Clock
  readonly log: Log
}

/** Longest wait before a look at deliveries that are due later, or that other processes have left. */
const lookMs = 1_000
/** Shortest wait before a look at deliveries that are due later. */
const minPauseMs = 20
/** Rest after a look, for each of its claims if it needed several: the store has other work. */
const restMs = 10

export function createLooks({ claim, release, sendingCount, isShared, clock, log }: LooksOptions) {
  /** The next look at all receivers starts after this one, in the order of their names. */
  let cursor = ''
  /** On the monotonic clock: no look at all receivers before that. */
  let restsUntil = 0
  /** When claimed deliveries that are not being sent were last released, on the monotonic clock; null: there may be some. */
  let releasedAt: number | null = null
  /** Receivers of tries that have ended since the last look. */
  const freed = new Set<string>()
  const loop = createLookLoop({ look, mustWaitMs })

  const leftOfRestMs = (): number => restsUntil - performance.now()

  function mustWaitMs(): number {
    // Half of the tries are left to receivers that wait for the next look at all receivers.
    const mayLookAtFreed = freed.size > 0 && sendingCount() < maxAtOnce / 2
    return mayLookAtFreed ? 0 : leftOfRestMs()
  }

  async function look(): Promise<number | null> {
    try {
      return await (leftOfRestMs() > 0 ? lookAtFreed() : lookAtAll())
    } catch (error) {
      releasedAt = null
      log.debug({ err: error }, 'due webhooks could not be looked for; trying again')
      return lookMs
    }
  }

  async function lookAtAll(): Promise<number | null> {
    if (releasedAt === null || (isShared && performance.now() - releasedAt >= lookMs)) {
      releasedAt = performance.now()
      await release()
    }
    freed.clear()
    let nextDueAt = Infinity
    let claims = 0
    // From the cursor to the last receiver, then once more from the first one: each receiver gets its turn.
    for (let rounds = cursor === '' ? 1 : 2; rounds > 0 && sendingCount() < maxAtOnce; claims += 1) {
      const claimed = await claim(cursor)
      nextDueAt = Math.min(nextDueAt, claimed.nextDueAt ?? Infinity)
      if (claimed.after === null) rounds -= 1
      cursor = claimed.after ?? ''
    }
    if (claims > 1) restsUntil = performance.now() + claims * restMs
    if (nextDueAt < Infinity) return Math.min(lookMs, Math.max(minPauseMs, nextDueAt - clock.now()))
    return isShared ? lookMs : null
  }

  /** Cheaper than a look at all receivers, for one that has many due deliveries. */
  async function lookAtFreed(): Promise<number> {
    const among = [...freed]
    freed.clear()
    await claim('', among)
    return releasedAt === null ? lookMs : Math.max(0, leftOfRestMs())
  }

  return {
    start: loop.start,
    /** A delivery may be due. */
    wake: loop.wake,
    /** Resolves when no look is under way, and none follows. */
    stop: loop.stop,
    /** @param hasFailed the result of the try could not be stored: a later look releases the delivery, and it is sent again */
    onTryEnded({ receiver, hasFailed }: { readonly receiver: string; readonly hasFailed: boolean }): void {
      freed.add(receiver)
      if (!hasFailed) return loop.wake()
      releasedAt = null
      loop.wakeSoon()
    },
  }
}

type LoopState =
  | { readonly name: 'stopped' }
  | { readonly name: 'waiting'; readonly timer: NodeJS.Timeout | undefined }
  /** `next`: when the next look starts; `paused`: after the pause that this look returns. */
  | { readonly name: 'looking'; next: 'now' | 'soon' | 'paused' }

interface LookLoopOptions {
  /** Never rejects. @returns milliseconds until the next look; null: it waits to be woken */
  readonly look: () => Promise<number | null>
  /** How long no look may start, in milliseconds. */
  readonly mustWaitMs: () => number
}

/** Starts the looks, one after another. */
function createLookLoop({ look, mustWaitMs }: LookLoopOptions) {
  let state: LoopState = { name: 'stopped' }
  let lastLook = Promise.resolve()

  async function runLook(): Promise<void> {
    const looking: LoopState = { name: 'looking', next: 'paused' }
    state = looking
    const pauseMs = await look()
    if (state !== looking) return
    wait(looking.next === 'soon' ? lookMs : pauseMs)
    if (looking.next === 'now') wake()
  }

  function wait(pauseMs: number | null): void {
    if (state.name === 'waiting') clearTimeout(state.timer)
    state = { name: 'waiting', timer: pauseMs === null ? undefined : setTimeout(wake, pauseMs) }
  }

  function wake(): void {
    if (state.name === 'looking') state.next = 'now'
    if (state.name !== 'waiting') return
    const waitMs = mustWaitMs()
    if (waitMs > 0) return wait(waitMs)
    clearTimeout(state.timer)
    lastLook = runLook()
  }

  return {
    start(): void {
      wait(null)
      wake()
    },
    wake,
    /** A further look is needed, though not at once. */
    wakeSoon(): void {
      if (state.name === 'waiting') wait(lookMs)
      else if (state.name === 'looking' && state.next === 'paused') state.next = 'soon'
    },
    async stop(): Promise<void> {
      if (state.name === 'waiting') clearTimeout(state.timer)
      state = { name: 'stopped' }
      await lastLook
    },
  }
}
