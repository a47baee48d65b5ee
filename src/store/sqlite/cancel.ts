/** Cancels a run's jobs, or one of them: at once and for good, whatever a thread that still runs it says later. */
import { isFinalJob } from '../../domain/job.ts'
import type { CancelResult } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import { asJobRow } from './rows.ts'
import type { Session } from './session.ts'

export function createCancel(session: Session) {
  const moveJob = createMoveJob(session)
  const selectJobs = session.database.prepare(`SELECT ${moveColumns} FROM job WHERE run_id = ? ORDER BY job_index`)
  const error = { code: 'cancelled', message: 'cancelled on request' } as const

  return (runId: string, jobIndex: number | null, at: number): CancelResult => {
    const all = selectJobs.all(runId).map(asJobRow)
    const named = jobIndex === null ? all : all.filter((job) => job.job_index === jobIndex)
    if (named.length === 0) return 'not-found'
    const live = named.filter(({ state }) => !isFinalJob(state))
    for (const job of live) moveJob(job, { to: 'cancelled', error }, at)
    if (live.length > 0) return 'cancelled'
    // As the run's own state has it: one that failed did so before it could be cancelled.
    const isCancelled =
      named.some(({ state }) => state === 'cancelled') && !named.some(({ state }) => state === 'failed')
    return isCancelled ? 'was-cancelled' : 'was-final'
  }
}
