/** Where the time comes from: injected everywhere, so that tests can move it. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number
}

/** Milliseconds of this process: for what lasts, and is not stored. No step of the wall clock moves it. */
export const monotonicClock: Clock = { now: () => performance.now() }

export const systemClock: Clock = { now: () => Date.now() }
