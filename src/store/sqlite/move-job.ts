/** The one way in which a job changes its state after the claim, and what follows for its run and its neighbours. */
import { isFinalJob } from '../../domain/job.ts'
import { endsOthers, voidedClaim, movedJob, movedRun, withFirst, type Move, type MovableJob } from '../moves.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

/** The columns that a move needs of the job. */
export const moveColumns =
  'run_id, job_index, claim, state, attempt, lost_starts, queued_at, started_at, thread, failures'

/** With them, those that the loss of a start needs. */
export const lossColumns = `${moveColumns}, max_attempts, left_claim, left_starts`

/** Applies a move to a job and to its run, in the transaction under way. It ends whoever owned the job. */
export function createMoveJob({ database, tally, changes, liveRuns, unknownTasks }: Session) {
  const updateJob = database.prepare(`
    UPDATE job SET state = ?, attempt = ?, lost_starts = ?, owner = NULL, queued_at = ?, run_at = ?, started_at = ?,
      finished_at = ?, thread = ?, error = ?, failures = ?, result = ?
    WHERE run_id = ? AND job_index = ?`)
  const selectJobs = prepareSelect<MovableJob>(database, moveColumns, 'FROM job WHERE run_id = ? ORDER BY job_index')

  return function apply(job: MovableJob, move: Move, at: number): void {
    const moved = movedJob(job, move, at)
    updateJob.run(
      moved.state,
      moved.attempt,
      moved.lost_starts,
      moved.queued_at,
      moved.run_at,
      moved.started_at,
      moved.finished_at,
      moved.thread,
      moved.error,
      moved.failures,
      moved.result,
      job.run_id,
      job.job_index,
    )
    tally.countJob(job.state, moved.state)
    if (moved.state === 'queued' || job.state !== 'running') unknownTasks.forget()
    liveRuns.noteJob(job.run_id, job.job_index, moved)

    const before = liveRuns.run(job.run_id)
    const run = movedRun(before, job, move, at)
    if (run.state !== before.state) tally.countRun(before.state, run.state)
    liveRuns.saveRun(run)
    changes.note(run, voidedClaim(job, move))
    if (!endsOthers(run, job, move)) return
    for (const other of selectJobs(run.id)) {
      if (!isFinalJob(other.state)) apply(other, withFirst, at)
    }
  }
}
