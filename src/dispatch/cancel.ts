/** Cancels on request: first in the store, where it counts, then wherever the job runs. */
import type { Clock } from '../domain/clock.ts'
import type { CancelReport, Store } from '../store/store.ts'

/** Cancels one job, or with `jobIndex` null all that are not final. @returns what the store says of it */
export type Cancel = (runId: string, jobIndex: number | null) => Promise<CancelReport['result']>

export interface CancelOptions {
  readonly store: Store
  readonly clock: Clock
  /** Tells the job's thread, if it runs here, to stop. */
  readonly stopRunning: (runId: string, jobIndex: number) => void
}

export function createCancel({ store, clock, stopRunning }: CancelOptions): Cancel {
  return async (runId, jobIndex) => {
    const { result, wereRunning } = await store.cancel(runId, jobIndex, clock.now())
    for (const index of wereRunning) stopRunning(runId, index)
    return result
  }
}
