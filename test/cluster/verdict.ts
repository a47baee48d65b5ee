/** Checks a database from outside: settled jobs are never written again, and nothing is missing. */
import { unaskedOutcomes, type EndedJob } from '../process/unasked.ts'
import type { Interference } from '../process/interference.ts'
import type { Schema } from '../harness/postgres.ts'

interface JobRow {
  readonly key: string
  readonly state: string
  readonly content: string
}

/** Checks repeatedly, and counts jobs that changed after they were final. */
export interface StaleWatch {
  look(): Promise<void>
  readonly staleWrites: number
}

export function createStaleWatch(
  schema: Pick<Schema, 'query'>,
  { mayGoOn }: Pick<Interference, 'mayGoOn'>,
): StaleWatch {
  const settled = new Map<string, string>()
  let staleWrites = 0

  return {
    async look() {
      const rows = await schema.query<JobRow>(`
        SELECT run_id || '/' || job_index AS key, state,
          md5(concat_ws('|', state, attempt, claim, finished_at, result, error, failures)) AS content
        FROM job WHERE finished_at IS NOT NULL`)
      const now = new Map(rows.map(({ key, content }) => [key, content]))
      for (const [key, content] of settled) if (now.get(key) !== content && !mayGoOn(key)) staleWrites += 1
      for (const [key, content] of now) settled.set(key, content)
    },
    get staleWrites() {
      return staleWrites
    },
  }
}

export interface Verdict {
  readonly runs: number
  readonly jobs: number
  /** The part of these jobs that are `crashed`: their process was killed at three starts. */
  readonly crashed: number
  readonly attempts: number
  /** Acknowledged runs that do not exist. */
  readonly lost: number
  readonly unfinished: number
  /** Runs whose counters, queue rows or totals contradict their records. */
  readonly miscounted: number
  /** Jobs that were cancelled or failed, or failed in an attempt, without a cause in the load. */
  readonly unasked: number
}

/** @param kills how many processes were killed */
export async function judge(
  schema: Pick<Schema, 'query'>,
  acknowledged: ReadonlySet<string>,
  { mayBeCancelled }: Pick<Interference, 'mayBeCancelled'>,
  kills: number,
): Promise<Verdict> {
  const ids = [...acknowledged]
  const ended = await schema.query<EndedJob>(`
    SELECT run_id AS "runId", job_index AS "jobIndex", state, lost_starts AS "lostStarts", input, error, failures
    FROM job WHERE state IN ('failed', 'cancelled') OR failures <> '[]'`)
  const [figures] = await schema.query<Record<Exclude<keyof Verdict, 'unasked'>, number>>(
    `SELECT
      (SELECT count(*)::int FROM run) AS runs,
      (SELECT count(*)::int FROM job) AS jobs,
      (SELECT count(*)::int FROM job WHERE error LIKE '%"crashed"%') AS crashed,
      (SELECT coalesce(sum(attempt), 0)::int FROM job) AS attempts,
      (SELECT count(*)::int FROM unnest($1::uuid[]) AS told (id) WHERE id NOT IN (SELECT id FROM run)) AS lost,
      (SELECT count(*)::int FROM run WHERE state = 'running') AS unfinished,
      (SELECT count(*)::int FROM record JOIN (
          SELECT run_id, count(*) AS jobs, count(*) FILTER (WHERE state = 'running') AS held,
            count(*) FILTER (WHERE state IN ('queued', 'retrying')) AS waiting FROM job GROUP BY run_id
        ) AS counted ON counted.run_id = record.id
        WHERE (record.jobs, record.held) IS DISTINCT FROM (counted.jobs::int, counted.held::int)
          OR counted.waiting <> (SELECT count(*) FROM queue WHERE queue.run = record.id))
      + (SELECT (sum(accepted) <> (SELECT count(*) FROM job)
          OR sum(final) <> (SELECT count(*) FROM job WHERE finished_at IS NOT NULL)
          OR sum(jobs_completed) <> (SELECT count(*) FROM job WHERE state = 'completed')
          OR sum(runs_completed) <> (SELECT count(*) FROM run WHERE state = 'completed'))::int FROM tally)
      AS miscounted`,
    [ids],
  )
  if (figures === undefined) throw new Error('the database does not answer')
  return { ...figures, unasked: unaskedOutcomes(ended, mayBeCancelled, kills).length }
}
