/** Cancels a run's jobs, or one of them: at once and for good, whatever a thread that still runs it says later. */
import { isFinalJob } from '../../domain/job.ts'
import { cancelResultOf, onRequest } from '../moves.ts'
import { asJobRow } from '../rows.ts'
import type { CancelResult } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import type { Session } from './session.ts'

export function createCancel(session: Session) {
  const moveJob = createMoveJob(session)
  const selectJobs = session.database.prepare(`SELECT ${moveColumns} FROM job WHERE run_id = ? ORDER BY job_index`)

  return (runId: string, jobIndex: number | null, at: number): CancelResult => {
    const all = selectJobs.all(runId).map(asJobRow)
    const named = jobIndex === null ? all : all.filter((job) => job.job_index === jobIndex)
    for (const job of named) if (!isFinalJob(job.state)) moveJob(job, onRequest, at)
    return cancelResultOf(named.map(({ state }) => state))
  }
}
