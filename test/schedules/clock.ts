import type { ProcessClock } from '../../src/runtime/clock.ts'

export interface MovedClock extends ProcessClock {
  /** By so much, or back. */
  step(byMs: number): void
}

/** A clock that stands still until a test moves it. */
export function createClock(startAt: number): MovedClock {
  let now = startAt
  const listeners = new Set<() => void>()
  return {
    now: () => now,
    follow: () => 0,
    onMoved: (listener) => void listeners.add(listener),
    step(byMs) {
      now += byMs
      for (const listener of listeners) listener()
    },
  }
}
