/** The reading verbs: runs, a page of runs, the totals. Each answers from one moment, which one statement has. */
import { isRunId } from '../../domain/ids.ts'
import type { JobRecord } from '../../domain/job.ts'
import type { RunRecord } from '../../domain/run.ts'
import { maxPageJobs } from '../bounds.ts'
import { boundedColumns, boundedJobs, listedColumns, listedJob } from './bounded-rows.ts'
import { asJobRow, asRunRow, jobColumns, jobRecord, runColumns, runRecord, type JobRow, type Row } from './rows.ts'
import type { RunFilter, RunPage, StoreStats } from '../store.ts'
import type { Query } from './connection.ts'
import { countsOf, liveOf, sumColumns } from './counts.ts'
import { listQuery } from './list-query.ts'
import { isPossible } from './lock.ts'
import { dueUntil, isInQueue, runsHere, waitingQueues } from './queues.ts'

const namesIn = (list: string): string[] => list.split(',').map((name) => name.trim())
/** A run and a job have columns of one name. */
const runPart = namesIn(runColumns).map((name) => `run.${name} AS of_run_${name}`)
const listedPart = namesIn(listedColumns).map((name) => `job.${name}`)

const selectRuns = {
  name: 'select-runs',
  text: `
    SELECT ${[...runPart, boundedColumns].join(', ')} FROM run JOIN job ON job.run_id = run.id
    WHERE run.id = ANY($1::uuid[]) ORDER BY run.id, job.job_index`,
}
const selectJob = {
  name: 'select-job',
  text: `SELECT ${jobColumns}, result FROM job WHERE run_id = $1 AND job_index = $2`,
}
// The live jobs from the rows themselves and not from the totals, so that the two can be held against each other.
const selectStats = {
  name: 'select-stats',
  text: `
    WITH RECURSIVE ${waitingQueues("ARRAY['cpu', 'io']")}, alive AS MATERIALIZED (
      SELECT tasks FROM process WHERE heartbeat_at > clock_timestamp() - interval '30 s')
    SELECT ${sumColumns},
      (SELECT count(*) FROM job WHERE run_at IS NOT NULL) + (SELECT count(*) FROM job WHERE owner IS NOT NULL) AS live,
      (SELECT min(due.run_at) FROM queue CROSS JOIN LATERAL (
          SELECT run_at FROM job WHERE ${isInQueue} AND run_at <= ${dueUntil('$1')}
          ORDER BY run_at LIMIT 1) AS due) AS oldest,
      (SELECT json_object_agg(task, jobs) FROM (
        SELECT task, sum(waiting.jobs) AS jobs FROM queue CROSS JOIN LATERAL (
          SELECT count(*) AS jobs FROM job WHERE ${isInQueue} AND run_at IS NOT NULL) AS waiting
        WHERE NOT EXISTS (SELECT FROM alive WHERE ${runsHere('queue.task', 'alive.tasks')})
        GROUP BY task) AS unknown) AS unknown_tasks
    FROM tally`,
}

/** The runs of these that there are. */
export async function readRuns(query: Query, ids: readonly string[]): Promise<RunRecord[]> {
  const possible = ids.filter(isRunId)
  return possible.length === 0 ? [] : runsIn(await query(selectRuns, [possible]), boundedJobs)
}

export async function readJob(query: Query, runId: string, jobIndex: number): Promise<JobRecord | null> {
  if (!isPossible({ runId, jobIndex })) return null
  const [row] = await query(selectJob, [runId, jobIndex])
  return row === undefined ? null : jobRecord(asJobRow(row))
}

export async function listRuns(query: Query, filter: RunFilter): Promise<RunPage> {
  const { text, values } = listQuery(filter)
  const whole = `WITH found AS (${text}), run AS (
      SELECT *, count(*) OVER () AS found, sum(total_jobs) OVER (ORDER BY id DESC) - total_jobs AS jobs_before FROM found)
    SELECT ${[...runPart, ...listedPart].join(', ')}, run.found FROM run JOIN job ON job.run_id = run.id
    WHERE run.jobs_before < ${maxPageJobs} ORDER BY run.id DESC, job.job_index`
  const rows = await query({ text: whole }, values)
  const runs = runsIn(rows, (jobs) => jobs.map(listedJob)).slice(0, filter.pageSize)
  return { runs, hasMore: Number(rows[0]?.['found'] ?? 0) > runs.length }
}

export async function readStats(query: Query, at: number): Promise<StoreStats> {
  const [row = {}] = await query(selectStats, [at])
  const counts = countsOf(row)
  const { accepted, final, runs, jobs } = counts
  const live = Number(row['live'])
  const oldest = row['oldest']
  return {
    runs,
    jobs,
    oldestQueuedMs: typeof oldest === 'number' ? Math.max(0, at - oldest) : null,
    // The statement makes it.
    unknownTasks: (row['unknown_tasks'] ?? {}) as Record<string, number>,
    conservation: { accepted, final, live, lost: liveOf(counts) - live },
  }
}

/** Rows of runs with their jobs, those of a run one after the other. */
function runsIn(rows: readonly Row[], recordsOf: (jobs: readonly JobRow[]) => JobRecord[]): RunRecord[] {
  return [...Map.groupBy(rows, (row) => row['run_id']).values()].map((ofRun) => {
    const [first = {}] = ofRun
    const run = Object.fromEntries(namesIn(runColumns).map((name) => [name, first[`of_run_${name}`]]))
    return runRecord(asRunRow(run), recordsOf(ofRun.map(asJobRow)))
  })
}
