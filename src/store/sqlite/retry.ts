/** Queues a job again that ended without success, because somebody asked for it. */
import { isFinalJob } from '../../domain/job.ts'
import { retryOnRequest } from '../moves.ts'
import type { RetryResult } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import type { JobRow } from '../rows.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

export function createRetry(session: Session) {
  const moveJob = createMoveJob(session)
  const columns = `${moveColumns}, task, kind, priority`
  const selectJob = prepareSelect<JobRow>(session.database, columns, 'FROM job WHERE run_id = ? AND job_index = ?')
  const updateKind = session.database.prepare('UPDATE job SET kind = ? WHERE run_id = ? AND job_index = ?')
  const forgetLeaving = session.database.prepare('UPDATE job SET left_starts = 0 WHERE run_id = ? AND job_index = ?')

  return (runId: string, jobIndex: number, at: number): RetryResult => {
    const [job] = selectJob(runId, jobIndex)
    if (job === undefined) return 'not-found'
    if (job.state === 'completed') return 'was-completed'
    if (!isFinalJob(job.state)) return 'not-final'
    const kind = session.unknownTasks.kindOf(job.task, job.kind)
    // It may have ended under a version with other tasks.
    if (kind !== job.kind) updateKind.run(kind, runId, jobIndex)
    moveJob(job, retryOnRequest(at), at)
    forgetLeaving.run(runId, jobIndex)
    // Nobody else may have used it since this process began.
    session.priorities.add(kind, job.priority)
    return 'queued'
  }
}
