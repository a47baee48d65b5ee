/** The reading verbs: a run, a job, a page of runs, the totals. Each answers from one moment. */
import { isRunId } from '../../../domain/ids.ts'
import { jobStates, type JobRecord } from '../../../domain/job.ts'
import { runStates, type RunRecord } from '../../../domain/run.ts'
import type { Apart, Run } from '../../../domain/run/aggregate.ts'
import { isApart } from '../../apart.ts'
import { maxPageJobs } from '../../bounds.ts'
import { jobRecord, listedRun, runRecord, type TextOf } from '../../run-record.ts'
import type { RunFilter, RunPage, StoreStats } from '../../store.ts'
import { emptyTotals, liveOf, type Totals } from '../../totals.ts'
import type { Query, Row } from '../connection/connection.ts'
import { listQuery } from './list-query.ts'
import { dueUntil, isInLevel, levelsOf, runsHere } from './queue.ts'
import type { Readable } from './readable.ts'
import { readRecord, rowsOf } from './records.ts'
import { totalColumns } from '../writing/write.ts'

const selectTexts = {
  name: 'select-texts',
  text: `
    SELECT payload.run, payload.job, payload.part, payload.value
    FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS asked (run, job, part) JOIN payload USING (run, job, part)`,
}
// The live jobs from the queue and the records themselves and not from the totals, so that they can be compared.
const selectStats = {
  name: 'select-stats',
  text: `
    WITH RECURSIVE ${levelsOf("ARRAY['cpu', 'io']")}, alive AS MATERIALIZED (
      SELECT tasks FROM process WHERE heartbeat_at > clock_timestamp() - interval '30 s')
    SELECT ${totalColumns.map((column) => `coalesce(sum(${column}), 0) AS ${column}`).join(', ')},
      (SELECT count(*) FROM queue) + (
        SELECT coalesce(sum(record.held), 0) FROM (SELECT DISTINCT run FROM holder) AS holding
        JOIN record ON record.id = holding.run) + coalesce(sum(jobs_blocked), 0) AS live,
      (SELECT min(due.run_at) FROM level CROSS JOIN LATERAL (
        SELECT run_at FROM queue WHERE ${isInLevel} AND run_at <= ${dueUntil('$1')} ORDER BY run_at LIMIT 1) AS due
      ) AS oldest,
      (SELECT json_object_agg(task, jobs) FROM (
        SELECT task, sum(waiting.jobs) AS jobs FROM level CROSS JOIN LATERAL (
          SELECT count(*) AS jobs FROM queue WHERE ${isInLevel}) AS waiting
        WHERE NOT EXISTS (SELECT FROM alive WHERE ${runsHere('level.task', 'alive.tasks')})
        GROUP BY task) AS unknown) AS unknown_tasks
    FROM tally`,
}

/** A text that the record names is gone: the run has changed since its record was read. */
class Changed extends Error {
  override readonly name = 'Changed'
}

const maxReads = 5

/** Reads again what was changed between its record and its texts. */
async function steadily<Value>(read: () => Promise<Value>): Promise<Value> {
  for (let reads = 1; ; reads += 1) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof Changed) || reads === maxReads) throw error
    }
  }
}

export async function readRun(query: Query, id: string): Promise<RunRecord | null> {
  if (!isRunId(id)) return null
  return steadily(async () => {
    const stored = await readRecord(query, id)
    return stored === undefined ? null : showRun(query, stored.run)
  })
}

/** @throws Changed where it is not as it is stored any more */
async function showRun(query: Query, run: Run): Promise<RunRecord> {
  const wanted = createWanted()
  runRecord(run, wanted.note(run.id))
  const texts = await wanted.read(query)
  return runRecord(run, texts(run.id))
}

/** As a commit has left it; null where some of it is kept apart. */
export function shownWhole(run: Run): RunRecord | null {
  const isWhole = run.jobs.every(
    ({ result, error, failures }) => !isApart(result) && !isApart(error) && !failures.some(isApart),
  )
  return isWhole ? runRecord(run, () => '') : null
}

export async function readJob(query: Query, runId: string, jobIndex: number): Promise<JobRecord | null> {
  if (!isRunId(runId)) return null
  return steadily(async () => {
    const stored = await readRecord(query, runId)
    const job = stored?.run.jobs[jobIndex]
    if (stored === undefined || job === undefined) return null
    const wanted = createWanted()
    jobRecord(stored.run, job, jobIndex, wanted.note(runId))
    return jobRecord(stored.run, job, jobIndex, (await wanted.read(query))(runId))
  })
}

/** A page ends with a run that its reader can name. */
export async function listRuns(query: Query, readable: Readable, filter: RunFilter): Promise<RunPage> {
  let page = await listPage(query, readable, filter)
  while (page.runs.length === 0 && page.hasMore) {
    page = await listPage(query, readable, { ...filter, beforeId: page.lastId })
  }
  return { runs: page.runs, hasMore: page.hasMore }
}

interface ReadPage extends RunPage {
  /** Of the last record that was looked at, whether it can be read or not. */
  readonly lastId: string
}

function listPage(query: Query, readable: Readable, filter: RunFilter): Promise<ReadPage> {
  return steadily(async () => {
    const { text, values } = listQuery(filter)
    const whole = `WITH found AS (${text}), bounded AS (
        SELECT *, count(*) OVER () AS found, sum(jobs) OVER (ORDER BY id DESC) - jobs AS jobs_before FROM found)
      SELECT id, version, revision, record, found FROM bounded WHERE jobs_before < ${maxPageJobs} ORDER BY id DESC`
    const rows = await query({ text: whole }, values)
    const looked = rowsOf(rows.slice(0, filter.pageSize))
    const runs = readable.decode(looked).map(({ run }) => run)
    const wanted = createWanted()
    for (const run of runs) listedRun(run, wanted.note(run.id))
    const texts = await wanted.read(query)
    const shown = runs.map((run) => listedRun(run, texts(run.id)))
    const hasMore = Number(rows[0]?.['found'] ?? 0) > looked.length
    return { runs: shown, hasMore, lastId: looked.at(-1)?.id ?? '' }
  })
}

/** Which texts a view needs: it is made once without them, then they are read together. */
function createWanted() {
  const keys: { readonly runId: string; readonly jobIndex: number; readonly part: number }[] = []
  const nameOf = (runId: string, jobIndex: number, part: number): string => `${runId} ${jobIndex} ${part}`

  return {
    /** An error without a message stands for the text, whatever it is of. */
    note:
      (runId: string): TextOf =>
      (jobIndex, { part }) => {
        keys.push({ runId, jobIndex, part })
        return '{"message":""}'
      },
    async read(query: Query): Promise<(runId: string) => TextOf> {
      const rows =
        keys.length === 0
          ? []
          : await query(selectTexts, [
              keys.map(({ runId }) => runId),
              keys.map(({ jobIndex }) => jobIndex),
              keys.map(({ part }) => part),
            ])
      const texts = new Map(
        rows.map((row) => [nameOf(String(row['run']), Number(row['job']), Number(row['part'])), String(row['value'])]),
      )
      return (runId) =>
        (jobIndex: number, { part }: Apart): string => {
          const text = texts.get(nameOf(runId, jobIndex, part))
          if (text === undefined) throw new Changed(`the text ${part} of job ${jobIndex} of the run ${runId} is gone`)
          return text
        }
    },
  }
}

export async function readStats(query: Query, at: number): Promise<StoreStats> {
  const [row = {}] = await query(selectStats, [at])
  const totals = totalsIn(row)
  const { accepted, final, runs, jobs } = totals
  const live = Number(row['live'])
  const oldest = row['oldest']
  return {
    runs,
    jobs,
    oldestQueuedMs: typeof oldest === 'number' ? Math.max(0, at - oldest) : null,
    // The statement makes it.
    unknownTasks: (row['unknown_tasks'] ?? {}) as Record<string, number>,
    conservation: { accepted, final, live, lost: liveOf(totals) - live },
  }
}

function totalsIn(row: Row): Totals {
  const totals = emptyTotals()
  const read = (column: string): number => Number(row[column] ?? 0)
  totals.accepted = read('accepted')
  totals.final = read('final')
  for (const state of runStates) totals.runs[state] = read(`runs_${state}`)
  for (const state of jobStates) totals.jobs[state] = read(`jobs_${state}`)
  return totals
}
