/** Lets the service's clock follow the system's when that is set, and what waits in the store keep its wait. */
import type { ProcessClock } from '../domain/clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface ClockWatch {
  start(): void
  stop(): void
}

export interface ClockWatchOptions {
  readonly clock: ProcessClock
  readonly store: Pick<Store, 'shiftDueTimes'>
  readonly log: Log
  /** Due times have moved: what is due next is to be looked up. */
  readonly onShifted: () => void
}

const lookEveryMs = 1_000

export function createClockWatch({ clock, store, log, onShifted }: ClockWatchOptions): ClockWatch {
  let timer: NodeJS.Timeout | undefined
  /** What the store has not followed yet. */
  let owedMs = 0
  let isShifting = false

  function look(): void {
    const stepMs = clock.follow()
    if (stepMs !== 0)
      log.warn({ stepMs }, `the system's clock has moved by ${stepMs} ms: jobs that wait keep their wait`)
    owedMs += stepMs
    // In the same turn: what was asked of the store before has the old time, and what is asked for next has the new one.
    if (owedMs !== 0 && !isShifting) void shift(owedMs)
  }

  async function shift(byMs: number): Promise<void> {
    isShifting = true
    owedMs -= byMs
    try {
      await store.shiftDueTimes(byMs)
      onShifted()
    } catch (error) {
      owedMs += byMs
      log.error({ err: error }, 'due times could not follow the clock; trying again')
    } finally {
      isShifting = false
    }
  }

  return {
    start: () => void (timer = setInterval(look, lookEveryMs)),
    stop: () => clearInterval(timer),
  }
}
