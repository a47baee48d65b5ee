/** The last statement of a transaction: what became of the rows, the totals, and the word to the other processes. */
import type { MovedJob } from '../moves.ts'
import type { RunRow } from '../rows.ts'
import type { Query } from './connection.ts'
import { additions, columnList, placeholdersFrom, valuesOf, type Counts } from './counts.ts'

export interface Written {
  readonly jobs: readonly MovedJob[]
  readonly runs: readonly RunRow[]
  readonly counts: Counts
  /** Whose totals they are, and the number of this commit among its own. */
  readonly owner: string
  readonly commit: number
  readonly channel: string
  readonly messages: readonly string[]
}

const selectOwn = { name: 'fence', text: 'SELECT 1 FROM tally WHERE owner = $1 FOR UPDATE' }

/**
 * Locks this process's own row, which every transaction of it writes: whoever wants to know what became of a commit in
 * doubt waits for it there. To be called, and answered, before the commit is on its way.
 */
export async function fence(query: Query, owner: string): Promise<void> {
  await query(selectOwn, [owner])
}

const firstCount = 28

// The claim ends with every move: whoever else holds it is fenced off by the lock that this transaction has.
const update = {
  name: 'write',
  text: `
    WITH jobs AS (
      UPDATE job SET state = moved.state, attempt = moved.attempt, lost_starts = moved.lost_starts, owner = NULL,
        queued_at = moved.queued_at, run_at = moved.run_at, started_at = moved.started_at,
        finished_at = moved.finished_at, thread = moved.thread, error = moved.error,
        failures = moved.failures, result = moved.result
      FROM unnest($1::uuid[], $2::integer[], $3::text[], $4::integer[], $5::integer[], $6::bigint[], $7::bigint[],
          $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[])
        AS moved (run_id, job_index, state, attempt, lost_starts, queued_at, run_at, started_at, finished_at, thread,
          error, failures, result)
      WHERE job.run_id = moved.run_id AND job.job_index = moved.job_index
    ), runs AS (
      UPDATE run SET state = changed.state, version = changed.version, open_jobs = changed.open_jobs,
        failed_jobs = changed.failed_jobs, cancelled_jobs = changed.cancelled_jobs, answer_job = changed.answer_job,
        answer_status = changed.answer_status, responded_at = changed.responded_at, finished_at = changed.finished_at
      FROM unnest($14::uuid[], $15::text[], $16::integer[], $17::integer[], $18::integer[], $19::integer[],
          $20::integer[], $21::integer[], $22::bigint[], $23::bigint[])
        AS changed (id, state, version, open_jobs, failed_jobs, cancelled_jobs, answer_job, answer_status,
          responded_at, finished_at)
      WHERE run.id = changed.id
    ), counted AS (
      INSERT INTO tally AS t (owner, commits, ${columnList})
      VALUES ($24, $25, ${placeholdersFrom(firstCount)})
      ON CONFLICT (owner) DO UPDATE SET commits = excluded.commits, ${additions}
    )
    SELECT pg_notify($26, message) FROM unnest($27::text[]) AS message`,
}

export async function write(query: Query, written: Written): Promise<void> {
  const { jobs, runs, owner, commit, counts, channel, messages } = written
  await query(update, [
    jobs.map((job) => job.run_id),
    jobs.map((job) => job.job_index),
    jobs.map((job) => job.state),
    jobs.map((job) => job.attempt),
    jobs.map((job) => job.lost_starts),
    jobs.map((job) => job.queued_at),
    jobs.map((job) => job.run_at),
    jobs.map((job) => job.started_at),
    jobs.map((job) => job.finished_at),
    jobs.map((job) => job.thread),
    jobs.map((job) => job.error),
    jobs.map((job) => job.failures),
    jobs.map((job) => job.result),
    runs.map((run) => run.id),
    runs.map((run) => run.state),
    runs.map((run) => run.version),
    runs.map((run) => run.open_jobs),
    runs.map((run) => run.failed_jobs),
    runs.map((run) => run.cancelled_jobs),
    runs.map((run) => run.answer_job),
    runs.map((run) => run.answer_status),
    runs.map((run) => run.responded_at),
    runs.map((run) => run.finished_at),
    owner,
    commit,
    channel,
    messages,
    ...valuesOf(counts),
  ])
}
