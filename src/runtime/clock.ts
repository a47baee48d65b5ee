/** Clocks. They are injected everywhere, so that tests can move the time. */
import { now as steady } from './primordials.ts'

export interface Clock {
  /** Epoch milliseconds. */
  now(): number
}

/**
 * A clock that runs evenly. When the system's clock is set or the machine sleeps, this clock steps only in `follow`, so that
 * due times can be moved at the same time.
 */
export interface ProcessClock extends Clock {
  /** Takes over a step of the system's clock. @returns the step in milliseconds; 0 when it is below 100 ms */
  follow(): number
  /** Only of a test's clock: calls back when the test has moved the time. */
  onMoved?(listener: () => void): void
}

interface TimeSources {
  /** Epoch milliseconds of the system's clock. */
  readonly system: () => number
  /** Milliseconds on a clock that nobody can set. */
  readonly steady: () => number
  /** Epoch milliseconds at which the steady clock was 0. */
  readonly origin: number
}

// Taken before any task can replace it.
const { now } = Date

/** Milliseconds since this thread started, for durations that are not stored. No step of the system's clock moves it. */
export const monotonicClock: Clock = { now: steady }

export const systemClock: Clock = { now }

const systemSources: TimeSources = { system: now, steady, origin: performance.timeOrigin }

/** Smaller steps are corrections by time synchronization. */
const minStepMs = 100

export function createProcessClock(sources: TimeSources = systemSources): ProcessClock {
  let offset = sources.origin
  const evenly = (): number => Math.floor(offset + sources.steady())

  function follow(): number {
    const step = sources.system() - evenly()
    if (Math.abs(step) < minStepMs) return 0
    offset += step
    return step
  }

  // The system's clock may have been set since the process started.
  follow()
  return { now: evenly, follow }
}

/** A timer with a longer delay fires at once. */
const maxTimerMs = 2_147_483_647

/** Rings at an instant of the clock, however far ahead it is. After a step of the clock it must be set again. */
export function createAlarm(clock: ProcessClock, ring: () => void) {
  let setAt: number | null = null
  let timer: NodeJS.Timeout | undefined

  function check(): void {
    clearTimeout(timer)
    if (setAt === null) return
    const leftMs = setAt - clock.now()
    if (leftMs <= 0) {
      setAt = null
      ring()
    } else if (clock.onMoved === undefined) timer = setTimeout(check, Math.min(leftMs, maxTimerMs))
  }

  clock.onMoved?.(check)
  return {
    /** Sets the only instant at which it rings; null: it does not ring. */
    set(at: number | null): void {
      setAt = at
      check()
    },
  }
}

export const msPerS = 1_000
const msPerNs = 1e-6
/** `performance.now()` starts at 0 in each thread. */
const startedAt = Number(process.hrtime.bigint()) * msPerNs - steady()

/** Milliseconds since an instant that is the same for all threads. No step of the clock and no task can change it. */
export function monotonicMs(): number {
  return startedAt + steady()
}
