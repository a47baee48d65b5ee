/** A page of runs, newest first. Which index a list walks is the server's choice. */
import { lowestRunId } from '../../../domain/ids.ts'
import { maxPageJobs } from '../../bounds.ts'
import { stateNumber } from '../../record.ts'
import { listedRun } from '../../run-record.ts'
import type { RunFilter, RunPage } from '../../store.ts'
import type { Query } from '../connection/connection.ts'
import { createWanted, steadily } from './payloads.ts'
import { rowsOf, type Readable } from './records.ts'
import { tagText } from './save.ts'

/** Skips pages without a readable run: the next page begins after the last run of this one. */
export async function listRuns(query: Query, readable: Readable, filter: RunFilter): Promise<RunPage> {
  let page = await readPage(query, readable, listQuery(filter), filter.pageSize)
  while (page.runs.length === 0 && page.hasMore) {
    page = await readPage(query, readable, listQuery({ ...filter, beforeId: page.lastId }), filter.pageSize)
  }
  return { runs: page.runs, hasMore: page.hasMore }
}

/** What a search has found: ids of a page, newest first. */
export interface FoundRuns {
  readonly ids: readonly string[]
  readonly hasMore: boolean
  /** The next page begins after it. */
  readonly lastId: string | null
}

/** Reads them as a page. */
export async function listFound(
  query: Query,
  readable: Readable,
  { ids, hasMore, lastId }: FoundRuns,
): Promise<RunPage> {
  const asked = { text: 'SELECT * FROM record WHERE id = ANY ($1::uuid[]) ORDER BY id DESC', values: [ids] }
  const page = await readPage(query, readable, asked, ids.length)
  if (page.hasMore) return page
  return { runs: page.runs, hasMore, ...(hasMore && lastId !== null && { lastId }) }
}

interface ReadPage extends RunPage {
  /** Id of the last record, whether it can be read or not. */
  readonly lastId: string
}

function readPage(query: Query, readable: Readable, { text, values }: ListQuery, pageSize: number): Promise<ReadPage> {
  return steadily(async () => {
    const whole = `WITH found AS (${text}), bounded AS (
        SELECT *, count(*) OVER () AS found, sum(jobs) OVER (ORDER BY id DESC) - jobs AS jobs_before FROM found)
      SELECT id, version, revision, record, found FROM bounded WHERE jobs_before < ${maxPageJobs} ORDER BY id DESC`
    const rows = await query({ text: whole }, values)
    const looked = rowsOf(rows.slice(0, pageSize))
    const runs = readable.decode(looked).map(({ run }) => run)
    const wanted = createWanted()
    for (const run of runs) listedRun(run, wanted.note(run.id))
    const texts = await wanted.read(query)
    const shown = runs.map((run) => listedRun(run, texts(run.id)))
    const hasMore = Number(rows[0]?.['found'] ?? 0) > looked.length
    return { runs: shown, hasMore, lastId: looked.at(-1)?.id ?? '' }
  })
}

/** Exclusive at the upper end. */
export interface Bounds {
  readonly from: string
  readonly below: string
}

interface ListQuery {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Selects one run more than a page holds, which shows whether there are more. */
function listQuery({ state, task, tag, ...bounds }: RunFilter): ListQuery {
  const values: unknown[] = []
  const parameter = (value: unknown): string => `$${values.push(value)}`
  const joins: string[] = []
  const conditions: string[] = []
  if (tag !== undefined) {
    joins.push(`JOIN run_tag ON run_tag.run_id = record.id AND run_tag.tag = ${parameter(tagText(tag))}`)
  }
  if (task !== undefined) {
    joins.push(`JOIN run_task ON run_task.run_id = record.id AND run_task.task = ${parameter(taskText(task))}`)
  }
  if (state !== undefined) {
    conditions.push(`record.state = ${parameter(stateNumber(state))}`)
    // The condition of the partial index, which is used only where the query has it.
    if (state !== 'completed') conditions.push('record.state <> 1')
  }
  const { from, below } = boundsOf(bounds)
  if (from !== lowestUuid) conditions.push(`record.id >= ${parameter(from)}`)
  if (below !== highestUuid) conditions.push(`record.id < ${parameter(below)}`)
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  const limit = parameter(bounds.pageSize + 1)
  return {
    text: `SELECT record.* FROM record ${joins.join(' ')} ${where} ORDER BY record.id DESC LIMIT ${limit}`,
    values,
  }
}

export const lowestUuid = '00000000-0000-0000-0000-000000000000'
export const highestUuid = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Ids of the filter's runs: from the one on, below the other. An id holds its run's creation. */
export function boundsOf({ beforeId = highestUuid, createdAfter, createdBefore }: Omit<RunFilter, 'pageSize'>): Bounds {
  const before = createdBefore === undefined ? highestUuid : lowestUuidAt(createdBefore)
  return {
    from: createdAfter === undefined ? lowestUuid : lowestUuidAt(createdAfter + 1),
    below: before < beforeId ? before : beforeId,
  }
}

/** PostgreSQL's text cannot hold a NUL, and no task's name has one. */
export function taskText(task: string): string {
  return task.replaceAll('\0', ' ')
}

/** Below every run that was created at the instant or later. */
export function lowestUuidAt(at: number): string {
  return `${lowestRunId(at)}-0000-0000-000000000000`
}
