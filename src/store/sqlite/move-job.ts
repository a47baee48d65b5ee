/** The one way in which a job changes its state after the claim, and what follows for its run and its neighbours. */
import { decideAnswer } from '../../domain/answer.ts'
import { isFinalJob, moveJob, type JobError, type JobFailure, type JobState } from '../../domain/job.ts'
import { moveRun } from '../../domain/run.ts'
import { asJobRow, asRunRow, runColumns, type JobRow, type RunRow } from './rows.ts'
import type { Session } from './session.ts'

/** The columns that a move needs of the job. */
export const moveColumns = 'run_id, job_index, state, attempt, lost_starts, started_at, thread, failures'

/** What a job becomes. A member that is left out keeps its value, but for `runAt`, which ends. */
export interface Move {
  readonly to: JobState
  readonly attempt?: number
  readonly lostStarts?: number
  readonly runAt?: number
  readonly result?: string
  readonly error?: JobError
  readonly failures?: readonly JobFailure[]
}

/** Applies a move to a job and to its run, in the transaction under way. It ends whoever owned the job. */
export function createMoveJob({ database, tally, changes }: Session) {
  const updateJob = database.prepare(`
    UPDATE job SET state = ?, attempt = ?, lost_starts = ?, owner = NULL, run_at = ?, started_at = ?, finished_at = ?,
      thread = ?, error = ?, failures = ?, result = ?
    WHERE run_id = ? AND job_index = ?`)
  const selectRun = database.prepare(`SELECT ${runColumns} FROM run WHERE id = ?`)
  const updateRun = database.prepare(`
    UPDATE run SET state = ?, version = ?, open_jobs = ?, failed_jobs = ?, cancelled_jobs = ?,
      answer_job = ?, answer_status = ?, responded_at = ?, finished_at = ?
    WHERE id = ?`)
  const selectJobs = database.prepare(`SELECT ${moveColumns} FROM job WHERE run_id = ? ORDER BY job_index`)

  function cancelOthers(run: RunRow, at: number): void {
    const error = { code: 'cancelled', message: 'the first job failed' } as const
    for (const other of selectJobs.all(run.id).map(asJobRow)) {
      if (!isFinalJob(other.state)) apply(other, { to: 'cancelled', error }, at)
    }
  }

  function apply(job: JobRow, move: Move, at: number): void {
    const state = moveJob(job.state, move.to)
    const isFinal = isFinalJob(state)
    const isUnspent = state === 'queued'
    updateJob.run(
      state,
      move.attempt ?? job.attempt,
      move.lostStarts ?? job.lost_starts,
      move.runAt ?? null,
      isUnspent ? null : job.started_at,
      isFinal ? at : null,
      isUnspent ? null : job.thread,
      move.error === undefined ? null : JSON.stringify(move.error),
      move.failures === undefined ? job.failures : JSON.stringify(move.failures),
      move.result ?? null,
      job.run_id,
      job.job_index,
    )
    tally.countJob(job.state, state)

    const run = asRunRow(selectRun.get(job.run_id) ?? {})
    const became = (isOne: (state: JobState) => boolean): number => Number(isOne(state)) - Number(isOne(job.state))
    const open = run.open_jobs - became(isFinalJob)
    const failed = run.failed_jobs + became((one) => one === 'failed')
    const cancelled = run.cancelled_jobs + became((one) => one === 'cancelled')
    const counts = { open, failed, cancelled }
    const runState = moveRun(run.state, counts)
    if (runState !== run.state) tally.countRun(run.state, runState)
    const wasAnswered = run.answer_status !== null
    const settled = { index: job.job_index, state, error: move.error ?? null }
    const answer = wasAnswered ? null : decideAnswer(run.respond, counts, settled)
    updateRun.run(
      runState,
      run.version + 1,
      open,
      failed,
      cancelled,
      answer === null ? run.answer_job : answer.jobIndex,
      answer === null ? run.answer_status : answer.status,
      answer === null ? run.responded_at : at,
      runState === 'running' ? null : at,
      run.id,
    )
    const isAnswered = wasAnswered || answer !== null
    const voided = job.state === 'running' && state === 'cancelled' ? job.job_index : undefined
    changes.note({ runId: run.id, version: run.version + 1, state: runState, isAnswered }, voided)
    if (state === 'failed' && job.job_index === 0 && run.on_first_failure === 'cancel') cancelOthers(run, at)
  }
  return apply
}
