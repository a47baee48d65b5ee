/**
 * What a move of one job makes of the job and of its run: the rule that every engine applies within a transaction, to
 * rows that it has to itself. Pure; it reads and writes nothing.
 */
import { decideAnswer } from '../../domain/answer.ts'
import type { Claim } from '../../domain/claim.ts'
import { isFinalJob, moveJob, type JobError, type JobFailure, type JobState } from '../../domain/job.ts'
import { maxLeftStarts, maxLostStarts } from '../../domain/retry.ts'
import { moveRun } from '../../domain/run.ts'
import { parseFailures, type JobRow, type RunRow } from './rows.ts'
import type { CancelResult } from '../../domain/run/transitions.ts'

/** What a job becomes. A member that is left out keeps its value, but for `runAt`, which ends. */
export interface Move {
  readonly to: JobState
  readonly attempt?: number
  readonly lostStarts?: number
  readonly runAt?: number
  readonly queuedAt?: number
  readonly result?: string
  readonly error?: JobError
  readonly failures?: readonly JobFailure[]
}

/** The members of a job that a move reads; and with them those that it can change. */
export type MovableJob = Pick<
  JobRow,
  | 'run_id'
  | 'job_index'
  | 'claim'
  | 'state'
  | 'attempt'
  | 'lost_starts'
  | 'queued_at'
  | 'started_at'
  | 'thread'
  | 'failures'
>
export type MovedJob = MovableJob & Pick<JobRow, 'run_at' | 'finished_at' | 'error' | 'result'>

/** A job after the move. Whoever owned it does so no longer. */
export function movedJob(job: MovableJob, move: Move, at: number): MovedJob {
  const state = moveJob(job.state, move.to)
  const isUnspent = state === 'queued'
  return {
    run_id: job.run_id,
    job_index: job.job_index,
    claim: job.claim,
    state,
    attempt: move.attempt ?? job.attempt,
    lost_starts: move.lostStarts ?? job.lost_starts,
    queued_at: move.queuedAt ?? job.queued_at,
    run_at: move.runAt ?? null,
    started_at: isUnspent ? null : job.started_at,
    finished_at: isFinalJob(state) ? at : null,
    thread: isUnspent ? null : job.thread,
    error: move.error === undefined ? null : JSON.stringify(move.error),
    failures: move.failures === undefined ? job.failures : JSON.stringify(move.failures),
    result: move.result ?? null,
  }
}

/** Its run after the same move. */
export function movedRun(run: RunRow, job: MovableJob, move: Move, at: number): RunRow {
  const became = (isOne: (state: JobState) => boolean): number => Number(isOne(move.to)) - Number(isOne(job.state))
  const open = run.open_jobs - became(isFinalJob)
  const failed = run.failed_jobs + became((state) => state === 'failed')
  const cancelled = run.cancelled_jobs + became((state) => state === 'cancelled')
  const counts = { open, failed, cancelled }
  const state = moveRun(run.state, counts)
  const settled = { index: job.job_index, state: move.to, error: move.error ?? null }
  const answer = run.answer_status === null ? decideAnswer(run.respond, counts, settled) : null
  return {
    ...run,
    state,
    version: run.version + 1,
    open_jobs: open,
    failed_jobs: failed,
    cancelled_jobs: cancelled,
    answer_job: answer === null ? run.answer_job : answer.jobIndex,
    answer_status: answer === null ? run.answer_status : answer.status,
    responded_at: answer === null ? run.responded_at : at,
    finished_at: state === 'running' ? null : at,
  }
}

/** The claim under which a thread may still be running the job, though it is over. */
export function voidedClaim(job: MovableJob, { to }: Move): Claim | undefined {
  if (job.state !== 'running' || to !== 'cancelled') return undefined
  return { runId: job.run_id, jobIndex: job.job_index, claim: job.claim }
}

/** Whether the others are to be cancelled with it. */
export function endsOthers(run: RunRow, job: MovableJob, { to }: Move): boolean {
  return to === 'failed' && job.job_index === 0 && run.on_first_failure === 'cancel'
}

export const onRequest: Move = { to: 'cancelled', error: { code: 'cancelled', message: 'cancelled on request' } }
export const withFirst: Move = { to: 'cancelled', error: { code: 'cancelled', message: 'the first job failed' } }

/** Whether the job runs under the claim: no other may settle it. */
export function holds({ claim }: Claim, job: Pick<JobRow, 'claim' | 'state'>): boolean {
  return job.claim === claim && job.state === 'running'
}

/** Retries on request can add failures without end; the latest are kept. */
const maxFailures = 100

/** @param retryAt null where the job fails for good */
export function failure(job: MovableJob, error: JobError, retryAt: number | null, at: number): Move {
  const added = { attempt: job.attempt, startedAt: job.started_at ?? at, finishedAt: at, error }
  const failures = [...parseFailures(job.failures), added].slice(-maxFailures)
  return retryAt === null ? { to: 'failed', error, failures } : { to: 'retrying', runAt: retryAt, failures }
}

type LosableJob = MovableJob & Pick<JobRow, 'max_attempts' | 'left_claim' | 'left_starts'>

export function release(job: LosableJob, at: number): Move {
  // One that has the process asked to leave after each start must not do so for ever.
  if (leaving(job) === 'too often') return loss(job)
  return { to: 'queued', attempt: job.attempt - 1, runAt: at }
}

export function retryOnRequest(at: number): Move {
  return { to: 'queued', attempt: 0, lostStarts: 0, runAt: at, queuedAt: at }
}

/** Whether the process was asked to leave during this start of the job. */
function leaving({ claim, left_claim: leftClaim, left_starts: leftStarts = 0 }: LosableJob) {
  if (leftClaim !== claim) return 'no'
  return leftStarts > maxLeftStarts ? 'too often' : 'yes'
}

/** Of a job whose process died. The start does not count where the process was to leave anyway. */
export function loss(job: LosableJob): Move {
  const left = leaving(job)
  const lostStarts = left === 'yes' ? job.lost_starts : job.lost_starts + 1
  const unspent = { attempt: job.attempt - 1, lostStarts }
  if (lostStarts >= maxLostStarts(job.max_attempts)) {
    const message =
      left === 'no'
        ? `the whole process died during ${lostStarts} starts of this job`
        : `the process was asked to stop soon after ${job.left_starts} starts of this job`
    return { to: 'failed', ...unspent, error: { code: 'crashed', message } }
  }
  // Due since it was accepted: it goes before everything that was queued behind it.
  return { to: 'queued', ...unspent, runAt: job.queued_at }
}

/** Whether one more lost start is the last: such a job runs alone, so that no innocent one is blamed with it. */
export function isSuspect(job: Pick<JobRow, 'lost_starts' | 'max_attempts'>): boolean {
  return job.lost_starts >= maxLostStarts(job.max_attempts) - 1
}

/** What is said of a cancel of these jobs, in the states in which it finds them. */
export function cancelResultOf(states: readonly JobState[]): CancelResult {
  if (states.length === 0) return 'not-found'
  if (!states.every(isFinalJob)) return 'cancelled'
  // As the run's own state has it: one that failed did so before it could be cancelled.
  return states.includes('cancelled') && !states.includes('failed') ? 'was-cancelled' : 'was-final'
}
