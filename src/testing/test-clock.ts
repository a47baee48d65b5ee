/** A clock that stands still until a test moves it. No time of the system reaches a service that has it. */
import type { ProcessClock } from '../domain/clock.ts'

export interface TestClock extends ProcessClock {
  /** Never back. */
  moveTo(at: number): void
}

/** @throws RangeError for what is no time */
export function createTestClock(startAt: number): TestClock {
  let now = requireTime(startAt)
  return {
    now: () => now,
    follow: () => 0,
    moveTo(at) {
      now = Math.max(now, requireTime(at))
    },
  }
}

function requireTime(at: number): number {
  if (Number.isFinite(at)) return Math.floor(at)
  throw new RangeError(`a clock cannot show ${at}`)
}
