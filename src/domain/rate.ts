/** How often jobs of a task may start: at most `limit` in any window, wherever it begins. */

export interface Rate {
  /** How many starts a window may have. */
  readonly limit: number
  /** The length of a window, in milliseconds. */
  readonly perMs: number
}

export const rateBounds = {
  limit: { min: 1, max: 1_000_000 },
  perMs: { min: 1, max: 31_536_000_000 },
} as const

/** Starts of one instant. */
export interface Starts {
  readonly at: number
  readonly count: number
}

export interface Allowance {
  /** How many more jobs may start now. */
  readonly left: number
  /** When the next one may, where none may now; else null. */
  readonly until: number | null
}

/** A window has no more instants than this: they are rounded up, which makes none of its starts seem earlier. */
const instantsPerWindow = 1_000

/** Instants are rounded up to a multiple of this. */
export function rateStepMs({ perMs }: Rate): number {
  return Math.max(1, Math.floor(perMs / instantsPerWindow))
}

export function startInstant(at: number, rate: Rate): number {
  const stepMs = rateStepMs(rate)
  return Math.ceil(at / stepMs) * stepMs
}

/** @param starts in order of their instants */
export function allowanceOf(starts: readonly Starts[], { limit, perMs }: Rate, at: number): Allowance {
  let count = 0
  for (const start of starts.toReversed()) {
    if (start.at <= at - perMs) break
    count += start.count
    // As soon as this one has left the window, there is room again.
    if (count >= limit) return { left: 0, until: start.at + perMs }
  }
  return { left: limit - count, until: null }
}
