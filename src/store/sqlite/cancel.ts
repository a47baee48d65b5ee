/** Cancels a run's jobs, or one of them: at once and for good, whatever a thread that still runs it says later. */
import { isFinalJob } from '../../domain/job.ts'
import type { CancelReport } from '../store.ts'
import { asJobRow } from './rows.ts'
import type { Session } from './session.ts'
import { createMoveJob } from './settle.ts'

export function createCancel(session: Session) {
  const moveJob = createMoveJob(session)
  const selectJobs = session.database.prepare(`
    SELECT run_id, job_index, state, attempt, lost_starts, started_at, thread, failures
    FROM job WHERE run_id = ? ORDER BY job_index`)
  const error = { code: 'cancelled', message: 'cancelled on request' } as const

  return (runId: string, jobIndex: number | null, at: number): CancelReport => {
    const all = selectJobs.all(runId).map(asJobRow)
    const named = jobIndex === null ? all : all.filter((job) => job.job_index === jobIndex)
    if (named.length === 0) return { result: 'not-found', wereRunning: [] }
    const live = named.filter(({ state }) => !isFinalJob(state))
    for (const job of live) moveJob(job, { to: 'cancelled', error }, at)
    const wereRunning = live.filter(({ state }) => state === 'running').map((job) => job.job_index)
    if (live.length > 0) return { result: 'cancelled', wereRunning }
    // As the run's own state has it: one that failed did so before it could be cancelled.
    const isCancelled =
      named.some(({ state }) => state === 'cancelled') && !named.some(({ state }) => state === 'failed')
    return { result: isCancelled ? 'was-cancelled' : 'was-final', wereRunning }
  }
}
