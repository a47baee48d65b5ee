/** Copies runs and jobs from the tables of a row each, which older versions wrote, to records. */
import type { RespondMode } from '../../../domain/answer.ts'
import type { JobError, JobFailure, JobState } from '../../../domain/job.ts'
import type { FirstFailurePolicy, RunState } from '../../../domain/run.ts'
import type { Job, Run } from '../../../domain/run/aggregate.ts'
import type { TaskKind } from '../../../domain/task.ts'
import type { Query, Row } from './connection.ts'
import { createUnit } from '../writing/unit.ts'
import { totalColumns, write } from '../writing/write.ts'

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
  /** Of its jobs, whatever they hold. */
  readonly bytes: number
}

interface JobRow {
  readonly run_id: string
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

/** Runs that are copied at once, and bytes of their jobs: at least one run. */
const maxRuns = 500
const maxBytes = 16 * 2 ** 20
/** Of a process that is none: what was running when the tables were changed is taken back. */
const nobody = 0

const selectRuns = {
  text: `
    SELECT *, (
      SELECT sum(coalesce(octet_length(input), 0) + coalesce(octet_length(result), 0) + octet_length(failures))
      FROM old_job WHERE run_id = old_run.id) AS bytes
    FROM old_run WHERE id > $1 ORDER BY id LIMIT ${maxRuns}`,
}
const selectJobs = { text: 'SELECT * FROM old_job WHERE run_id = ANY($1::uuid[]) ORDER BY run_id, job_index' }
const lowestId = '00000000-0000-0000-0000-000000000000'

/** Within the transaction of the migration. */
export async function migrateRows(query: Query): Promise<void> {
  let last = lowestId
  for (;;) {
    const rows = within(await query(selectRuns, [last]))
    const end = rows.at(-1)
    if (end === undefined) break
    last = end.id
    const jobs = await query(selectJobs, [rows.map(({ id }) => id)])
    const jobsOf = Map.groupBy(jobs, (row) => String(row['run_id']))
    const unit = createUnit([])
    // Of the tables above.
    for (const row of rows) unit.add(runOf(row, (jobsOf.get(row.id) ?? []) as unknown as JobRow[]))
    await write(query, { process: nobody, writer: 0 }, '', unit.finish(), [])
  }
  // Exact as they were: they count runs that were forgotten since, too.
  await query({ text: 'DELETE FROM tally' })
  // No job was blocked in those days.
  const sums = totalColumns.map((column) => (column === 'jobs_blocked' ? '0' : `sum(${column})`)).join(', ')
  await query({ text: `INSERT INTO tally SELECT ${nobody}, 0, ${sums} FROM old_tally HAVING count(*) > 0` })
  await query({ text: 'DROP TABLE old_run, old_job, old_tally' })
}

function within(rows: readonly Row[]): RunRow[] {
  const taken: RunRow[] = []
  let bytes = 0
  // Of the columns above.
  for (const row of rows as unknown as readonly RunRow[]) {
    bytes += row.bytes
    if (taken.length > 0 && bytes > maxBytes) break
    taken.push(row)
  }
  return taken
}

function runOf(row: RunRow, jobs: readonly JobRow[]): Run {
  const { id, state, version, respond, answer_job: jobIndex, answer_status: status } = row
  return {
    id,
    state,
    version,
    respond,
    onFirstFailure: row.on_first_failure,
    tags: JSON.parse(row.tags) as string[],
    traceparent: null,
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
    kind: row.kind,
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
    holder: row.state === 'running' ? nobody : null,
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
