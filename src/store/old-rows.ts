/** Reads rows of runs and jobs from the tables of older versions into records. */
import type { FirstFailurePolicy } from '../domain/run.ts'
import type { JobError, JobFailure } from '../domain/job.ts'
import type { Job, Run } from '../domain/run/aggregate.ts'
import type { TaskKind } from '../domain/task.ts'

export interface OldRun extends Pick<Run, 'id' | 'state' | 'version' | 'respond'> {
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

export interface OldJob extends Pick<Job, 'task' | 'kind' | 'state' | 'priority' | 'attempt' | 'claim' | 'thread'> {
  readonly timeout_ms: number
  readonly max_attempts: number
  readonly lost_starts: number
  readonly left_claim: number
  readonly left_starts: number
  readonly queued_at: number
  readonly run_at: number | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly error: string | null
  readonly failures: string
  readonly input: string | null
  readonly result: string | null
}

/** @param holder the dead process that held the running jobs; null on SQLite */
export function runOfRows(row: OldRun, jobs: readonly OldJob[], holder: number | null): Run {
  const { id, state, version, respond, answer_job: jobIndex, answer_status: status } = row
  return {
    id,
    state,
    version,
    respond,
    onFirstFailure: row.on_first_failure,
    tags: JSON.parse(row.tags) as string[],
    traceparent: null,
    webhook: null,
    counts: { open: row.open_jobs, failed: row.failed_jobs, cancelled: row.cancelled_jobs },
    answer: status === null ? null : { mode: respond, jobIndex, status },
    respondedAt: row.responded_at,
    finishedAt: row.finished_at,
    jobs: jobs.map((job) => jobOf(job, holder)),
  }
}

/** Members that the tables did not have. */
const newMembers = { lostStart: null, chain: null, expiry: null, secret: null, steps: null }

function jobOf(row: OldJob, holder: number | null): Job {
  return {
    ...newMembers,
    task: row.task,
    // SQLite marked the kind of a task that the process did not have.
    kind: row.kind.replace('unknown-', '') as TaskKind,
    state: row.state,
    priority: row.priority,
    timeoutMs: row.timeout_ms,
    maxAttempts: row.max_attempts,
    attempt: row.attempt,
    claim: row.claim,
    lostStarts: row.lost_starts,
    leftClaim: row.left_claim,
    leftStarts: row.left_starts,
    thread: row.thread,
    holder: row.state === 'running' ? holder : null,
    queuedAt: row.queued_at,
    runAt: row.run_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    input: row.input,
    result: row.result,
    error: row.error === null ? null : (JSON.parse(row.error) as JobError),
    failures: JSON.parse(row.failures) as JobFailure[],
  }
}
