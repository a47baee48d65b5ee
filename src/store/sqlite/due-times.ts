/** Due times are instants of the caller's clock, which can be set: nobody waits longer for that. */
import { maxRetryDelayMs } from '../../domain/retry.ts'
import type { Session } from './session.ts'

export interface DueTimes {
  /** The caller's clock was set: what waits goes on waiting for as long. */
  shift(byMs: number): void
  /** The clock may have been set while nobody was here: nothing waits longer than it was to wait at all. */
  bound(at: number): void
}

export function createDueTimes({ database, liveRuns }: Session): DueTimes {
  const shiftJobs = database.prepare('UPDATE job SET run_at = run_at + ? WHERE run_at IS NOT NULL')
  const shiftKeys = database.prepare('UPDATE idempotency_key SET claimed_at = claimed_at + ?')
  const boundQueued = database.prepare(`
    UPDATE job SET run_at = ?1 + max(0, run_at - queued_at)
    WHERE run_at > ?1 AND queued_at > ?1 AND state = 'queued'`)
  const boundRetrying = database.prepare(`
    UPDATE job SET run_at = ?1 + ?2 WHERE run_at > ?1 + ?2 AND state = 'retrying'`)
  const boundKeys = database.prepare('UPDATE idempotency_key SET claimed_at = ?1 WHERE claimed_at > ?1')

  /** What is kept in memory has the due times of before. */
  function forgetRows(): void {
    liveRuns.flush()
    liveRuns.clear()
  }

  return {
    shift(byMs) {
      shiftJobs.run(byMs)
      shiftKeys.run(byMs)
      forgetRows()
    },
    bound(at) {
      boundQueued.run(at)
      boundRetrying.run(at, maxRetryDelayMs)
      boundKeys.run(at)
      forgetRows()
    },
  }
}
