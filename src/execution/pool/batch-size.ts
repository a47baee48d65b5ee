/**
 * How many jobs a thread that runs one after another may hold: as many as it does in a moment, so that quick jobs need
 * not wait for one commit each, and slow ones are not claimed before they can start.
 */
export interface BatchSize {
  /** At least 1. */
  current(): number
  /** The thread has run one more job; it took so many milliseconds, its way included. */
  note(tookMs: number): void
  /** Something was held up: one at a time, until they are seen to be quick. */
  reset(): void
}

/** What a batch may take. */
const momentMs = 10
export const maxBatch = 64

export function createBatchSize(): BatchSize {
  let size = 1
  return {
    current: () => size,
    note(tookMs) {
      // Grows by doubling at the most, for one quick job says little about the next.
      size = Math.max(1, Math.min(maxBatch, size * 2, Math.floor(momentMs / tookMs)))
    },
    reset() {
      size = 1
    },
  }
}
