/** TurnScheduler rows into records. The tables are STRICT and only this engine writes them, so a row's form is known. */
import type { Answer, RespondMode } from '../../domain/answer.ts'
import { instantOf } from '../../domain/ids.ts'
import type { JobError, JobFailure, JobRecord, JobState } from '../../domain/job.ts'
import type { FirstFailurePolicy, RunRecord, RunState } from '../../domain/run.ts'
import type { TaskKind } from '../../domain/task.ts'

export type Row = Record<string, unknown>

export interface RunRow {
  readonly id: string
  readonly state: RunState
  readonly version: number
  readonly respond: RespondMode
  readonly total_jobs: number
  readonly open_jobs: number
  readonly failed_jobs: number
  readonly cancelled_jobs: number
  readonly answer_job: number | null
  readonly answer_status: number | null
  readonly on_first_failure: FirstFailurePolicy
  readonly responded_at: number | null
  readonly finished_at: number | null
  readonly tags: string
}

export interface JobRow {
  readonly run_id: string
  readonly job_index: number
  readonly task: string
  readonly kind: TaskKind
  readonly state: JobState
  readonly priority: number
  readonly timeout_ms: number
  readonly attempt: number
  readonly max_attempts: number
  readonly claim: number
  readonly lost_starts: number
  /** The claim during which the process was last asked to leave, and how often that came soon after a start. */
  readonly left_claim?: number
  readonly left_starts?: number
  readonly thread: string | null
  readonly queued_at: number
  readonly run_at: number | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly error: string | null
  readonly failures: string
  readonly input: string | null
  readonly result: string | null
  /** Of a read that leaves out what is large: the bytes that there are. */
  readonly result_bytes?: number | null
  readonly failures_bytes?: number
}

export const runColumns = `id, state, version, respond, total_jobs, open_jobs, failed_jobs, cancelled_jobs,
  answer_job, answer_status, on_first_failure, responded_at, finished_at, tags`

/** All that a job record shows, but for its result. */
export const jobColumns = `run_id, job_index, task, state, thread, attempt, max_attempts, queued_at, run_at,
  started_at, finished_at, error, failures`

/** All that a claimed job carries to its thread, and all that settling it asks for. */
export const claimColumns = `run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
  lost_starts, queued_at, run_at, failures, input`

export function asRunRow(row: Row): RunRow {
  return row as unknown as RunRow
}

/** The row has the columns that its statement selected; reading another one is a defect. */
export function asJobRow(row: Row): JobRow {
  return row as unknown as JobRow
}

export function runRecord(row: RunRow, jobs: readonly JobRecord[]): RunRecord {
  return {
    id: row.id,
    state: row.state,
    version: row.version,
    respond: row.respond,
    tags: JSON.parse(row.tags) as string[],
    answer: answerOf(row),
    createdAt: instantOf(row.id),
    respondedAt: row.responded_at,
    finishedAt: row.finished_at,
    jobs,
  }
}

export function answerOf(row: RunRow): Answer | null {
  if (row.answer_status === null) return null
  return { mode: row.respond, jobIndex: row.answer_job, status: row.answer_status }
}

export function jobRecord(row: JobRow): JobRecord {
  return {
    index: row.job_index,
    task: row.task,
    state: row.state,
    thread: row.thread,
    attempt: row.attempt,
    maxAttempts: row.max_attempts,
    queuedAt: row.queued_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    runAt: row.run_at,
    result: row.result ?? null,
    error: row.error === null ? null : (JSON.parse(row.error) as JobError),
    failures: parseFailures(row.failures),
  }
}

export function parseFailures(text: string): JobFailure[] {
  return text === '[]' ? [] : (JSON.parse(text) as JobFailure[])
}
