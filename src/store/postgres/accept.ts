/**
 * Writes runs with all their jobs in one statement, and what that adds to the totals. Job 0 is born claimed when the main
 * thread is to run it, and any other one for which there is a slot while nothing waits that would go before it.
 */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { NewJob, NewRun } from '../../domain/run/new-run.ts'
import { plainArray, textArray } from './arrays.ts'
import type { Query } from './connection.ts'
import { OutOfStep, rowOf, type Sender } from './transaction.ts'

export interface Acceptance {
  readonly run: NewRun
  readonly at: number
}

/** A job that is about to be written, and who is to run it at once: `main`, a thread, or nobody yet. */
export interface NewbornJob extends NewJob {
  readonly runId: string
  readonly index: number
  readonly acceptedAt: number
  thread: string | null
  /** Of its claim, where it has one. */
  startedAt: number
}

const firstClaim = 1

// The totals first: what is written is joined with the row of the lane, as its last commit left it.
const insert = {
  name: 'accept',
  text: `
    WITH own AS (
      UPDATE tally SET commits = $3, accepted = accepted + $4::integer, runs_running = runs_running + $5::integer,
        jobs_running = jobs_running + $6::integer, jobs_queued = jobs_queued + $4::integer - $6::integer
      WHERE owner = $1 AND commits = $2 RETURNING 1
    ), runs AS (
      INSERT INTO run (id, state, version, respond, on_first_failure, total_jobs, open_jobs, failed_jobs,
        cancelled_jobs, tags)
      SELECT id, 'running', version, respond, on_first_failure, total, total, 0, 0, tags
      FROM own, unnest($7::uuid[], $8::integer[], $9::text[], $10::text[], $11::integer[], $12::text[])
        AS new (id, version, respond, on_first_failure, total, tags)
    ), tags AS (
      INSERT INTO run_tag (tag, run_id) SELECT new.* FROM own, unnest($13::text[], $14::uuid[]) AS new
    ), tasks AS (
      INSERT INTO run_task (task, run_id) SELECT new.* FROM own, unnest($15::text[], $16::uuid[]) AS new
    ), jobs AS (
      INSERT INTO job (run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
        lost_starts, owner, thread, queued_at, run_at, is_due, started_at, failures, input)
      SELECT run_id, job_index, task, kind, CASE WHEN thread IS NULL THEN 'queued' ELSE 'running' END, priority,
        timeout_ms, claim, max_attempts, claim, 0, CASE WHEN thread IS NOT NULL THEN $17::uuid END, thread,
        queued_at, run_at, is_due, started_at, '[]', input
      FROM own, unnest($18::uuid[], $19::integer[], $20::text[], $21::text[], $22::integer[], $23::bigint[],
          $24::integer[], $25::integer[], $26::text[], $27::bigint[], $28::bigint[], $29::boolean[], $30::bigint[],
          $31::text[])
        AS new (run_id, job_index, task, kind, priority, timeout_ms, claim, max_attempts, thread, queued_at, run_at,
          is_due, started_at, input)
    )
    SELECT FROM own`,
}

/** @throws DatabaseFailure `refused` where an id was accepted before */
export async function insertRuns(
  query: Query,
  sender: Sender,
  acceptances: readonly Acceptance[],
  jobs: readonly NewbornJob[],
): Promise<void> {
  const runs = acceptances.map(({ run }) => run)
  const named = (namesOf: (run: NewRun) => readonly string[]) =>
    runs.flatMap((run) => [...new Set(namesOf(run))].map((name) => ({ name, id: run.id })))
  const tags = named((run) => run.tags.map(tagText))
  const tasks = named((run) => run.jobs.map(({ task }) => task))
  const claimed = new Set(jobs.filter(isClaimedLater).map(({ runId }) => runId))
  const rows = await query(insert, [
    rowOf(sender),
    sender.commits,
    sender.number,
    jobs.length,
    runs.length,
    jobs.filter(({ thread }) => thread !== null).length,
    plainArray(runs.map(({ id }) => id)),
    plainArray(runs.map(({ id }) => (claimed.has(id) ? 2 : 1))),
    plainArray(runs.map(({ respond }) => respond)),
    plainArray(runs.map(({ onFirstFailure }) => onFirstFailure)),
    plainArray(runs.map((run) => run.jobs.length)),
    textArray(runs.map((run) => JSON.stringify(run.tags))),
    textArray(tags.map(({ name }) => name)),
    plainArray(tags.map(({ id }) => id)),
    textArray(tasks.map(({ name }) => name)),
    plainArray(tasks.map(({ id }) => id)),
    sender.owner,
    plainArray(jobs.map(({ runId }) => runId)),
    plainArray(jobs.map(({ index }) => index)),
    textArray(jobs.map(({ task }) => task)),
    plainArray(jobs.map(({ kind }) => kind)),
    plainArray(jobs.map(({ priority }) => priority)),
    plainArray(jobs.map(({ timeoutMs }) => timeoutMs)),
    plainArray(jobs.map(({ thread }) => (thread === null ? 0 : firstClaim))),
    plainArray(jobs.map(({ maxAttempts }) => maxAttempts)),
    textArray(jobs.map(({ thread }) => thread)),
    plainArray(jobs.map(({ acceptedAt }) => acceptedAt)),
    plainArray(jobs.map((job) => (job.thread === null ? dueAtOf(job) : null))),
    plainArray(jobs.map(({ delayMs }) => (delayMs <= 0 ? 'true' : 'false'))),
    plainArray(jobs.map(({ thread, startedAt }) => (thread === null ? null : startedAt))),
    textArray(jobs.map(({ input }) => input)),
  ])
  if (rows.length === 0) throw new OutOfStep()
}

export function newbornsOf({ run, at }: Acceptance): NewbornJob[] {
  return run.jobs.map((job, index) => {
    const thread = index === 0 && run.claimsFirst ? 'main' : null
    return { ...job, runId: run.id, index, acceptedAt: at, thread, startedAt: at }
  })
}

export function dueAtOf({ acceptedAt, delayMs }: NewbornJob): number {
  return acceptedAt + delayMs
}

/** Whether a claim has taken it, which changes its run, and not the run's own wish. */
export function isClaimedLater({ thread, index }: NewbornJob): boolean {
  return thread !== null && !(thread === 'main' && index === 0)
}

/** Of a job that is born claimed. */
export function bornClaim(job: NewbornJob): ClaimedJob {
  const { runId, index: jobIndex, task, kind, input, timeoutMs, maxAttempts, startedAt } = job
  const waitedMs = Math.max(0, startedAt - dueAtOf(job))
  const started = { claim: firstClaim, thread: job.thread ?? '', attempt: 1, lostStarts: 0, waitedMs }
  return { runId, jobIndex, task, kind, input, timeoutMs, maxAttempts, ...started }
}

/** As JSON, for a tag can hold characters that a text of the database cannot. */
export function tagText(tag: string): string {
  return JSON.stringify(tag)
}
