/** Copies runs and jobs from the tables of a row each, which older versions wrote, to records. */
import type { DatabaseSync } from 'node:sqlite'
import type { RespondMode } from '../../../domain/answer.ts'
import type { JobError, JobFailure, JobState } from '../../../domain/job.ts'
import type { FirstFailurePolicy, RunState } from '../../../domain/run.ts'
import type { Job, Run } from '../../../domain/run/aggregate.ts'
import type { TaskKind } from '../../../domain/task.ts'
import { createTransaction } from '../writing/transaction.ts'

/** Of the tables that migration 0005 has renamed. */
interface RunRow {
  readonly id: string
  readonly state: RunState
  readonly version: number
  readonly respond: RespondMode
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

interface JobRow {
  readonly task: string
  readonly kind: TaskKind
  readonly state: JobState
  readonly priority: number
  readonly timeout_ms: number
  readonly attempt: number
  readonly max_attempts: number
  readonly claim: number
  readonly lost_starts: number
  readonly left_claim: number
  readonly left_starts: number
  readonly thread: string | null
  readonly queued_at: number
  readonly run_at: number | null
  readonly started_at: number | null
  readonly finished_at: number | null
  readonly error: string | null
  readonly failures: string
  readonly input: string | null
  readonly result: string | null
}

/** Runs that are kept in memory before they are written. */
const runsPerFlush = 1_000

/** Within the transaction of the migration. */
export function migrateRows(database: DatabaseSync): void {
  const tally = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  const selectJobs = database.prepare('SELECT * FROM old_job WHERE run_id = ? ORDER BY job_index')
  const transaction = createTransaction(database)
  let pending = 0
  // The ids sort by time of creation, so the keys come in that order too.
  for (const row of database.prepare('SELECT * FROM old_run ORDER BY id').iterate()) {
    const run = row as unknown as RunRow
    transaction.add(runOf(run, selectJobs.all(run.id) as unknown as JobRow[]))
    pending += 1
    if (pending % runsPerFlush === 0) transaction.flush()
  }
  transaction.flush()
  // Exact as it was: it counts runs that were forgotten since, too.
  if (tally !== undefined) database.prepare('UPDATE tally SET totals = ? WHERE id = 1').run(String(tally['totals']))
  database.exec('DROP TABLE old_run; DROP TABLE old_job; DROP TABLE old_run_tag')
}

function runOf(row: RunRow, jobs: readonly JobRow[]): Run {
  const { id, state, version, respond, answer_job: jobIndex, answer_status: status } = row
  return {
    id,
    state,
    version,
    respond,
    onFirstFailure: row.on_first_failure,
    traceparent: null,
    tags: JSON.parse(row.tags) as string[],
    counts: { open: row.open_jobs, failed: row.failed_jobs, cancelled: row.cancelled_jobs },
    answer: status === null ? null : { mode: respond, jobIndex, status },
    respondedAt: row.responded_at,
    finishedAt: row.finished_at,
    jobs: jobs.map(jobOf),
  }
}

function jobOf(row: JobRow): Job {
  return {
    task: row.task,
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
    holder: null,
    queuedAt: row.queued_at,
    runAt: row.run_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    input: row.input,
    result: row.result,
    error: row.error === null ? null : (JSON.parse(row.error) as JobError),
    failures: JSON.parse(row.failures) as JobFailure[],
    chain: null,
    expiry: null,
  }
}
