/** Looks for due deliveries, one look at a time: a full one at all receivers in turn, or one at those that have room again. */
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { DeliveryClaims } from '../store/claim-requests.ts'
import { maxAtOnce } from './receivers.ts'

export interface LooksOptions {
  /** Claims due deliveries, of the receivers after this one or of these, and begins to send them. */
  readonly claim: (after: string, among?: readonly string[]) => Promise<DeliveryClaims>
  /** Hands back claimed deliveries that nothing sends: of this process after a failure, and of dead processes. */
  readonly release: () => Promise<unknown>
  /** The number of tries under way. */
  readonly sendingCount: () => number
  /** Whether other processes send deliveries too. */
  readonly isShared: boolean
  readonly clock: Clock
  readonly log: Log
}

/** The longest pause if something is left to do: deliveries that are due later, have to be released, or are of other processes. */
const maxPauseMs = 1_000
/** Shortest wait before a look at deliveries that are due later. */
const minPauseMs = 20
/** Rest after a look, for each of its claims if it needed several: the store has other work. */
const restMs = 10

export function createLooks({ claim, release, sendingCount, isShared, clock, log }: LooksOptions) {
  /** The next full look starts after this receiver, in the order of their names. */
  let cursor = ''
  /** No full look starts before this instant of the monotonic clock. */
  let restsUntil = 0
  /** When claimed deliveries that are not being sent were last released, on the monotonic clock; null: there may be some. */
  let releasedAt: number | null = null
  /** Receivers of tries that have ended since the last look. */
  const freed = new Set<string>()
  const loop = createLookLoop({ look, mustWaitMs })

  const leftOfRestMs = (): number => restsUntil - performance.now()

  function mustWaitMs(): number {
    // Half of the tries are left to receivers that wait for the next full look.
    const mayLookAtFreed = freed.size > 0 && sendingCount() < maxAtOnce / 2
    return mayLookAtFreed ? 0 : leftOfRestMs()
  }

  async function look(): Promise<number | null> {
    try {
      return await (leftOfRestMs() > 0 ? lookAtFreed() : lookAtAll())
    } catch (error) {
      releasedAt = null
      log.debug({ err: error }, 'due webhooks could not be looked for; trying again')
      return maxPauseMs
    }
  }

  async function lookAtAll(): Promise<number | null> {
    if (releasedAt === null || (isShared && performance.now() - releasedAt >= maxPauseMs)) {
      releasedAt = performance.now()
      await release()
    }
    freed.clear()
    let nextDueAt = Infinity
    let claims = 0
    // Each receiver gets its turn: from the cursor to the last receiver, and then from the first one.
    let passesLeft = cursor === '' ? 1 : 2
    while (passesLeft > 0 && sendingCount() < maxAtOnce) {
      const claimed = await claim(cursor)
      claims += 1
      nextDueAt = Math.min(nextDueAt, claimed.nextDueAt ?? Infinity)
      if (claimed.after === null) passesLeft -= 1
      cursor = claimed.after ?? ''
    }
    if (claims > 1) restsUntil = performance.now() + claims * restMs
    if (nextDueAt < Infinity) return Math.min(maxPauseMs, Math.max(minPauseMs, nextDueAt - clock.now()))
    return isShared ? maxPauseMs : null
  }

  /** Cheaper than a full look, for a receiver that has many due deliveries. */
  async function lookAtFreed(): Promise<number> {
    const among = [...freed]
    freed.clear()
    await claim('', among)
    // Until the next full look. One that has to release deliveries waits longer: the store has just failed.
    return releasedAt === null ? maxPauseMs : Math.max(0, leftOfRestMs())
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
  /** `next`: when the next look starts. */
  | { readonly name: 'looking'; next: 'now' | 'soon' | 'afterItsPause' }

interface LookLoopOptions {
  /** Never rejects. @returns milliseconds until the next look; null: it waits to be woken */
  readonly look: () => Promise<number | null>
  /** For how many milliseconds no look may start. */
  readonly mustWaitMs: () => number
}

/** Starts the looks, one after another. */
function createLookLoop({ look, mustWaitMs }: LookLoopOptions) {
  let state: LoopState = { name: 'stopped' }
  let lastLook = Promise.resolve()

  async function runLook(): Promise<void> {
    const looking: LoopState = { name: 'looking', next: 'afterItsPause' }
    state = looking
    const pauseMs = await look()
    const isStopped = state !== looking
    if (isStopped) return
    pause(looking.next === 'soon' ? maxPauseMs : pauseMs)
    if (looking.next === 'now') wake()
  }

  /** @param pauseMs null: until it is woken */
  function pause(pauseMs: number | null): void {
    if (state.name === 'waiting') clearTimeout(state.timer)
    state = { name: 'waiting', timer: pauseMs === null ? undefined : setTimeout(wake, pauseMs) }
  }

  function wake(): void {
    if (state.name === 'looking') state.next = 'now'
    if (state.name !== 'waiting') return
    const waitMs = mustWaitMs()
    if (waitMs > 0) return pause(waitMs)
    clearTimeout(state.timer)
    lastLook = runLook()
  }

  return {
    start(): void {
      pause(null)
      wake()
    },
    wake,
    /** A further look is needed, though not at once. */
    wakeSoon(): void {
      if (state.name === 'waiting') pause(maxPauseMs)
      else if (state.name === 'looking' && state.next === 'afterItsPause') state.next = 'soon'
    },
    async stop(): Promise<void> {
      if (state.name === 'waiting') clearTimeout(state.timer)
      state = { name: 'stopped' }
      await lastLook
    },
  }
}
