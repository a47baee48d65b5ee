/** Cancels a run's jobs, or one of them: at once and for good, whatever a thread that still runs it says later. */
import { isFinalJob } from '../../domain/job.ts'
import { cancelResultOf, onRequest, type MovableJob } from '../moves.ts'
import type { CancelResult } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

export function createCancel(session: Session) {
  const moveJob = createMoveJob(session)
  const ofRun = 'FROM job WHERE run_id = ? ORDER BY job_index'
  const selectJobs = prepareSelect<MovableJob>(session.database, moveColumns, ofRun)

  return (runId: string, jobIndex: number | null, at: number): CancelResult => {
    const all = selectJobs(runId)
    const named = jobIndex === null ? all : all.filter((job) => job.job_index === jobIndex)
    for (const job of named) if (!isFinalJob(job.state)) moveJob(job, onRequest, at)
    return cancelResultOf(named.map(({ state }) => state))
  }
}
