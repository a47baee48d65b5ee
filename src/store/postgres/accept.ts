/** Writes runs with all their jobs in one statement; job 0 is born claimed when the main thread is to run it. */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { NewRun } from '../store.ts'
import type { Query } from './connection.ts'

export interface Acceptance {
  readonly run: NewRun
  readonly at: number
}

const firstClaim = 1

const insert = {
  name: 'accept',
  text: `
    WITH runs AS (
      INSERT INTO run (id, state, version, respond, on_first_failure, total_jobs, open_jobs, failed_jobs,
        cancelled_jobs, tags)
      SELECT id, 'running', 1, respond, on_first_failure, total, total, 0, 0, tags
      FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[])
        AS new (id, respond, on_first_failure, total, tags)
    ), tags AS (
      INSERT INTO run_tag (tag, run_id) SELECT * FROM unnest($6::text[], $7::uuid[])
    ), tasks AS (
      INSERT INTO run_task (task, run_id) SELECT * FROM unnest($8::text[], $9::uuid[])
    )
    INSERT INTO job (run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
      lost_starts, owner, thread, queued_at, run_at, started_at, failures, input)
    SELECT run_id, job_index, task, kind, state, priority, timeout_ms, claim, max_attempts, claim, 0,
      CASE state WHEN 'running' THEN $10::uuid END, CASE state WHEN 'running' THEN 'main' END,
      queued_at, run_at, CASE state WHEN 'running' THEN queued_at END, '[]', input
    FROM unnest($11::uuid[], $12::integer[], $13::text[], $14::text[], $15::text[], $16::integer[], $17::bigint[],
        $18::integer[], $19::integer[], $20::bigint[], $21::bigint[], $22::text[])
      AS new (run_id, job_index, task, kind, state, priority, timeout_ms, claim, max_attempts, queued_at, run_at, input)`,
}

/** @throws DatabaseFailure `refused` where an id was accepted before */
export async function insertRuns(query: Query, acceptances: readonly Acceptance[], owner: string): Promise<void> {
  const runs = acceptances.map(({ run }) => run)
  const named = (namesOf: (run: NewRun) => readonly string[]) =>
    runs.flatMap((run) => [...new Set(namesOf(run))].map((name) => ({ name, id: run.id })))
  const tags = named((run) => run.tags.map(tagText))
  const tasks = named((run) => run.jobs.map(({ task }) => task))
  const jobs = acceptances.flatMap(({ run, at }) =>
    run.jobs.map((job, index) => ({ ...job, id: run.id, index, at, isClaimed: index === 0 && run.claimsFirst })),
  )
  await query(insert, [
    runs.map(({ id }) => id),
    runs.map(({ respond }) => respond),
    runs.map(({ onFirstFailure }) => onFirstFailure),
    runs.map(({ jobs: { length } }) => length),
    runs.map((run) => JSON.stringify(run.tags)),
    tags.map(({ name }) => name),
    tags.map(({ id }) => id),
    tasks.map(({ name }) => name),
    tasks.map(({ id }) => id),
    owner,
    jobs.map(({ id }) => id),
    jobs.map(({ index }) => index),
    jobs.map(({ task }) => task),
    jobs.map(({ kind }) => kind),
    jobs.map(({ isClaimed }) => (isClaimed ? 'running' : 'queued')),
    jobs.map(({ priority }) => priority),
    jobs.map(({ timeoutMs }) => timeoutMs),
    jobs.map(({ isClaimed }) => (isClaimed ? firstClaim : 0)),
    jobs.map(({ maxAttempts }) => maxAttempts),
    jobs.map(({ at }) => at),
    jobs.map(({ isClaimed, at, delayMs }) => (isClaimed ? null : at + delayMs)),
    jobs.map(({ input }) => input),
  ])
}

/** The claim of job 0, where the run asks for it. */
export function firstClaimOf({ id, jobs: [job], claimsFirst }: NewRun): ClaimedJob | null {
  if (!claimsFirst || job === undefined) return null
  const { task, kind, input, timeoutMs, maxAttempts } = job
  const started = { claim: firstClaim, thread: 'main', attempt: 1, lostStarts: 0, waitedMs: 0 }
  return { runId: id, jobIndex: 0, task, kind, input, timeoutMs, maxAttempts, ...started }
}

/** As JSON, for a tag can hold characters that a text of the database cannot. */
export function tagText(tag: string): string {
  return JSON.stringify(tag)
}
