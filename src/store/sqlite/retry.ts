/** Queues a job again that ended without success, because somebody asked for it. */
import { isFinalJob } from '../../domain/job.ts'
import { retryOnRequest } from '../moves.ts'
import type { RetryResult } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import { asJobRow } from '../rows.ts'
import type { Session } from './session.ts'

export function createRetry(session: Session) {
  const moveJob = createMoveJob(session)
  const selectJob = session.database.prepare(`
    SELECT ${moveColumns}, kind, priority FROM job WHERE run_id = ? AND job_index = ?`)

  return (runId: string, jobIndex: number, at: number): RetryResult => {
    const row = selectJob.get(runId, jobIndex)
    if (row === undefined) return 'not-found'
    const job = asJobRow(row)
    if (job.state === 'completed') return 'was-completed'
    if (!isFinalJob(job.state)) return 'not-final'
    moveJob(job, retryOnRequest(at), at)
    // Nobody else may have used it since this process began.
    session.priorities.add(job.kind, job.priority)
    return 'queued'
  }
}
