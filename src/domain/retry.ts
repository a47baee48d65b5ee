/** When an unsuccessful attempt is tried again, and how many starts a job may lose to dying processes. */

/** `firstMs` after the first failure, doubled with each further one, and `maxMs` at most. */
export function backOffMs(failures: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** (failures - 1))
}

/** No attempt waits longer for the next one. */
export const maxRetryDelayMs = 60_000
const firstDelayMs = 1_000

/**
 * Wait after attempt `attempt` (1 is the first): exponential backoff with full jitter, uniform in
 * 0 … min(60 s, 1 s · 2^(attempt − 1)), in whole milliseconds.
 * @param random uniform in [0, 1)
 */
export function retryDelayMs(attempt: number, random: () => number = Math.random): number {
  const ceilingMs = backOffMs(attempt, firstDelayMs, maxRetryDelayMs)
  return Math.floor(random() * (ceilingMs + 1))
}

/** A process that is asked to leave within this time of a job's start may have been asked by that job. */
export const soonAfterStartMs = 60_000

/** How often that may happen to a job, in a row or not, before it counts as a lost start each time. */
export const maxLeftStarts = 20

/** How many starts of a job may be lost to the end of the whole process before it fails as `crashed`. */
export function maxLostStarts(maxAttempts: number): number {
  return Math.max(maxAttempts, 3)
}
