/** Where the time comes from: injected everywhere, so that tests can move it. */
import { now as steady } from './primordials.ts'

export interface Clock {
  /** Epoch milliseconds. */
  now(): number
}

/**
 * Runs evenly, also when the system's clock is set or the machine sleeps: that moves it only when `follow` is called, so
 * that due times can be moved in the same moment.
 */
export interface ProcessClock extends Clock {
  /** Takes the system's time where that has moved by itself. @returns by how many milliseconds it did; 0 for little */
  follow(): number
  /** Calls back whenever it was moved; absent where time moves it. */
  onMoved?(listener: () => void): void
}

interface TimeSources {
  /** Epoch milliseconds, of the system's clock. */
  readonly system: () => number
  /** Milliseconds on a clock that nobody can set. */
  readonly steady: () => number
  /** When that clock was at 0, as the system's clock had it. */
  readonly origin: number
}

// Taken before any task can replace them.
const { now } = Date

/** Milliseconds of this process: for what lasts, and is not stored. No step of the wall clock moves it. */
export const monotonicClock: Clock = { now: steady }

export const systemClock: Clock = { now }

const systemSources: TimeSources = { system: now, steady, origin: performance.timeOrigin }

/** Small steps are those of a clock that is kept right. */
const smallMs = 100

export function createProcessClock(sources: TimeSources = systemSources): ProcessClock {
  // As exact as the system has it: `now` is cut to milliseconds.
  let offset = sources.origin
  const evenly = (): number => Math.floor(offset + sources.steady())

  function follow(): number {
    const step = sources.system() - evenly()
    if (Math.abs(step) < smallMs) return 0
    offset += step
    return step
  }

  // The process may have begun long ago, and the clock have been set since.
  follow()
  return { now: evenly, follow }
}

export interface Alarm {
  /** When it is to ring next; null: not at all. */
  set(at: number | null): void
}

/** Above it a timer fires at once. */
const maxTimerMs = 2_147_483_647

/** Rings when the clock shows an instant, however far ahead that is; after a step of the clock it has to be set again. */
export function createAlarm(clock: ProcessClock, ring: () => void): Alarm {
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
    set(at) {
      setAt = at
      check()
    },
  }
}

const msPerNs = 1e-6
/** `performance.now()` counts from the start of each thread. */
const startedAt = Number(process.hrtime.bigint()) * msPerNs - steady()

/** Milliseconds since an instant that is the same for all threads; nobody sets it, and no task can replace it. */
export function monotonicMs(): number {
  return startedAt + steady()
}
