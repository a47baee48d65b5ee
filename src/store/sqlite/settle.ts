/** The one way in which a job changes its state after the claim, what follows for its run, and the settling verbs. */
import { decideAnswer } from '../../domain/answer.ts'
import type { Claim } from '../../domain/claim.ts'
import { isFinalJob, moveJob, type JobError, type JobFailure, type JobState } from '../../domain/job.ts'
import { moveRun } from '../../domain/run.ts'
import type { Settled } from '../store.ts'
import { asJobRow, asRunRow, parseFailures, runColumns, type JobRow } from './rows.ts'
import type { Session } from './session.ts'

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

  return (job: JobRow, move: Move, at: number): void => {
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
    const open = run.open_jobs - Number(isFinal)
    const failed = run.failed_jobs + Number(state === 'failed')
    const cancelled = run.cancelled_jobs + Number(state === 'cancelled')
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
    changes.set(run.id, { runId: run.id, version: run.version + 1, state: runState, isAnswered })
  }
}

export function createSettle(session: Session) {
  const applyMove = createMoveJob(session)
  const selectJob = session.database.prepare(`
    SELECT run_id, job_index, state, attempt, lost_starts, claim, started_at, thread, failures
    FROM job WHERE run_id = ? AND job_index = ?`)

  function settle(claim: Claim, at: number, moveOf: (job: JobRow) => Move): Settled {
    const row = selectJob.get(claim.runId, claim.jobIndex)
    if (row === undefined) return 'stale'
    const job = asJobRow(row)
    if (job.claim !== claim.claim || job.state !== 'running') return 'stale'
    applyMove(job, moveOf(job), at)
    return 'settled'
  }

  return {
    complete: (claim: Claim, result: string, at: number): Settled =>
      settle(claim, at, () => ({ to: 'completed', result })),
    fail: (claim: Claim, error: JobError, retryAt: number | null, at: number): Settled =>
      settle(claim, at, (job) => {
        const failure = { attempt: job.attempt, startedAt: job.started_at ?? at, finishedAt: at, error }
        const failures = [...parseFailures(job.failures), failure]
        return retryAt === null ? { to: 'failed', error, failures } : { to: 'retrying', runAt: retryAt, failures }
      }),
    release: (claim: Claim, at: number): Settled =>
      settle(claim, at, (job) => ({ to: 'queued', attempt: job.attempt - 1, runAt: at })),
  }
}
