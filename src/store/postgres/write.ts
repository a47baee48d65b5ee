/** The last statement of a transaction that locked before it wrote: what became of the rows, the totals, and the word to the other processes. */
import { plainArray, textArray } from './arrays.ts'
import type { Query } from './connection.ts'
import { additions, columnList, placeholdersFrom, valuesOf } from './counts.ts'
import { rowOf, type Sender } from './transaction.ts'
import type { Unit } from './unit.ts'

const firstCount = 28

// What is queued again is due, on whatever clock. A job is queued at another time when a retry is requested, and then
// begins afresh. The claim ends with every move: whoever else holds it is fenced off by the lock that this transaction has.
const update = {
  name: 'write',
  text: `
    WITH jobs AS (
      UPDATE job SET state = moved.state, attempt = moved.attempt, lost_starts = moved.lost_starts, owner = NULL,
        left_starts = CASE WHEN job.queued_at = moved.queued_at THEN job.left_starts ELSE 0 END,
        queued_at = moved.queued_at, run_at = moved.run_at, is_due = moved.state = 'queued', started_at = moved.started_at,
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

export async function write(query: Query, sender: Sender, unit: Unit, messages: readonly string[]): Promise<void> {
  const jobs = unit.movedJobs()
  const runs = unit.changedRuns()
  await query(update, [
    plainArray(jobs.map((job) => job.run_id)),
    plainArray(jobs.map((job) => job.job_index)),
    plainArray(jobs.map((job) => job.state)),
    plainArray(jobs.map((job) => job.attempt)),
    plainArray(jobs.map((job) => job.lost_starts)),
    plainArray(jobs.map((job) => job.queued_at)),
    plainArray(jobs.map((job) => job.run_at)),
    plainArray(jobs.map((job) => job.started_at)),
    plainArray(jobs.map((job) => job.finished_at)),
    textArray(jobs.map((job) => job.thread)),
    textArray(jobs.map((job) => job.error)),
    textArray(jobs.map((job) => job.failures)),
    textArray(jobs.map((job) => job.result)),
    plainArray(runs.map((run) => run.id)),
    plainArray(runs.map((run) => run.state)),
    plainArray(runs.map((run) => run.version)),
    plainArray(runs.map((run) => run.open_jobs)),
    plainArray(runs.map((run) => run.failed_jobs)),
    plainArray(runs.map((run) => run.cancelled_jobs)),
    plainArray(runs.map((run) => run.answer_job)),
    plainArray(runs.map((run) => run.answer_status)),
    plainArray(runs.map((run) => run.responded_at)),
    plainArray(runs.map((run) => run.finished_at)),
    rowOf(sender),
    sender.number,
    sender.channel,
    textArray(messages),
    ...valuesOf(unit.counts),
  ])
}
