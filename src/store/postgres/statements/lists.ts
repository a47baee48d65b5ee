/**
 * A page of runs, newest first, that match a filter and have all words of a search. The index of words knows no order: it
 * returns all runs with a word, in no order. So a search first looks at the newest runs one by one, which finds common
 * words, and then reads a bounded number of runs from the index. A page costs a bounded number of rows for any words, and can
 * be short because of that.
 */
import { lowestRunId } from '../../../domain/ids.ts'
import { type SearchWord, wordsOf } from '../../search-text.ts'
import { listedRun, maxPageJobs } from '../../run-record.ts'
import { stateNumber } from '../../run-codec.ts'
import type { RunFilter, RunPage } from '../../store.ts'
import type { Query, Reader, Statement } from '../connection/connection.ts'
import { createWantedTexts, readConsistently } from './read.ts'
import type { RecordDecoder } from './records.ts'
import { tagText } from './save.ts'

export async function listRuns(reader: Reader, decoder: RecordDecoder, filter: RunFilter): Promise<RunPage> {
  const { query } = reader
  if (filter.words !== undefined) return listFound(query, decoder, await findRuns(reader, filter, filter.words))
  let page = await readPage(query, decoder, listQuery(filter), filter.pageSize)
  // A page without a readable run is skipped.
  while (page.runs.length === 0 && page.hasMore) {
    page = await readPage(query, decoder, listQuery({ ...filter, beforeId: page.lastId }), filter.pageSize)
  }
  return { runs: page.runs, hasMore: page.hasMore }
}

/** The ids of a page that a search has found, newest first. */
interface FoundRuns {
  readonly ids: readonly string[]
  readonly hasMore: boolean
  /** The next page begins after this run. */
  readonly lastId: string | null
}

async function listFound(query: Query, decoder: RecordDecoder, { ids, hasMore, lastId }: FoundRuns): Promise<RunPage> {
  const asked = { text: 'SELECT * FROM record WHERE id = ANY ($1::uuid[]) ORDER BY id DESC', values: [ids] }
  const page = await readPage(query, decoder, asked, ids.length)
  // It was cut because its runs have many jobs: the next page begins after its last run.
  if (page.hasMore) return page
  return { runs: page.runs, hasMore, ...(hasMore && lastId !== null && { lastId }) }
}

interface ReadPage extends RunPage {
  /** Id of the last record, which may be unreadable. */
  readonly lastId: string
}

function readPage(
  query: Query,
  decoder: RecordDecoder,
  { text, values }: ListQuery,
  pageSize: number,
): Promise<ReadPage> {
  return readConsistently(async () => {
    const whole = `WITH found AS (${text}), bounded AS (
        SELECT *, count(*) OVER () AS found, sum(jobs) OVER (ORDER BY id DESC) - jobs AS jobs_before FROM found)
      SELECT id, version, revision, record, found FROM bounded WHERE jobs_before < ${maxPageJobs} ORDER BY id DESC`
    const rows = await query({ text: whole }, values)
    const looked = rows.slice(0, pageSize)
    const runs = decoder.decode(looked).map(({ run }) => run)
    const wanted = createWantedTexts()
    for (const run of runs) listedRun(run, wanted.note(run.id))
    const texts = await wanted.read(query)
    const shown = runs.map((run) => listedRun(run, texts(run.id)))
    const hasMore = Number(rows[0]?.['found'] ?? 0) > looked.length
    const last = looked.at(-1)
    return { runs: shown, hasMore, lastId: last === undefined ? '' : String(last['id']) }
  })
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
    // The planner uses the partial index only if the query repeats its condition.
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

/** The range of ids with the creation times of the filter: an id begins with the instant when its run was created. */
function boundsOf({ beforeId = highestUuid, createdAfter, createdBefore }: RunFilter) {
  const before = createdBefore === undefined ? highestUuid : lowestUuidAt(createdBefore)
  return {
    from: createdAfter === undefined ? lowestUuid : lowestUuidAt(createdAfter + 1),
    below: before < beforeId ? before : beforeId,
  }
}

/** PostgreSQL's text cannot hold NUL. No task's name has one, so any other character matches as little. */
function taskText(task: string): string {
  return task.replaceAll('\0', ' ')
}

/** Returns an id that is below those of all runs created at the instant or later. */
export function lowestUuidAt(at: number): string {
  return `${lowestRunId(at)}-0000-0000-000000000000`
}

/** Runs whose words are looked at one by one before the index is read, and if the words are too common for the index. */
const maxNear = 2_000
const maxFar = 20_000
/** Runs that are read from the index. */
const maxFromIndex = 20_000
/** Found runs that are compared with the rest of the filter at once. */
const maxCompared = 2_000

interface Finding {
  /** The newest runs with the words, newest first; at most one more than can be compared. */
  readonly ids: readonly string[]
  /** The next step continues below this id; null: there are no more runs. */
  readonly end: string | null
}

const foundColumns = `ARRAY(SELECT run FROM found ORDER BY run DESC LIMIT ${maxCompared + 1})::text[] AS ids`

function walkOf(name: string, limit: number): Statement {
  return {
    name,
    text: `
      WITH walked AS MATERIALIZED (
        SELECT run, words @@ $1::tsquery AS is_found FROM search
        WHERE run >= $2 AND run < $3 ORDER BY run DESC LIMIT ${limit}),
      found AS (SELECT run FROM walked WHERE is_found)
      SELECT ${foundColumns}, (SELECT run FROM walked ORDER BY run DESC OFFSET ${limit - 1}) AS last`,
  }
}
const walkNear = walkOf('walk-search-near', maxNear)
const walkFar = walkOf('walk-search-far', maxFar)
// Without an order: sorting would read all runs with the words.
const selectFromIndex = {
  name: 'ask-search',
  text: `
    WITH asked AS MATERIALIZED (SELECT run FROM search WHERE words @@ $1::tsquery LIMIT ${maxFromIndex + 1}),
    found AS (SELECT run FROM asked WHERE run >= $2 AND run < $3)
    SELECT ${foundColumns}, (SELECT count(*) FROM asked) > ${maxFromIndex} AS is_common`,
}

async function findRuns(reader: Reader, filter: RunFilter, words: readonly SearchWord[]): Promise<FoundRuns> {
  const { pageSize } = filter
  const wanted = queryOf(words)
  const { from, ...bounds } = boundsOf(filter)
  let { below } = bounds
  const found: string[] = []
  // Each step continues below the runs of the one before.
  const steps = [
    () => walk(reader.query, walkNear, [wanted, from, below]),
    () => reader.transact((query) => readIndex(query, [wanted, from, below])),
    () => walk(reader.query, walkFar, [wanted, from, below]),
  ]
  for (const step of steps) {
    const finding = await step()
    if (finding === null) continue
    const ids = finding.ids.slice(0, maxCompared)
    const isCut = ids.length < finding.ids.length
    found.push(...(await matching(reader.query, filter, ids)))
    if (found.length > pageSize) return { ids: found.slice(0, pageSize), hasMore: true, lastId: null }
    const end = isCut ? (ids.at(-1) ?? null) : finding.end
    if (end === null) return { ids: found, hasMore: false, lastId: null }
    below = end
    // The rest of this step's runs comes before those of the next step.
    if (isCut) break
  }
  return { ids: found, hasMore: true, lastId: below }
}

async function walk(query: Query, statement: Statement, values: readonly string[]): Promise<Finding> {
  const [row] = await query(statement, values)
  const last = row?.['last']
  return { ids: idsIn(row?.['ids']), end: typeof last === 'string' ? last : null }
}

/** Returns null if the words are too common. */
async function readIndex(query: Query, values: readonly string[]): Promise<Finding | null> {
  // The only way to read an index of this kind.
  await query({ text: 'SET LOCAL enable_bitmapscan = on' })
  const [row] = await query(selectFromIndex, values)
  return row?.['is_common'] === true ? null : { ids: idsIn(row?.['ids']), end: null }
}

/** Returns the runs that match the rest of the filter, at most one more than a page holds. Each is looked up by its id. */
async function matching(query: Query, { state, task, tag, pageSize }: RunFilter, ids: string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const values: unknown[] = [ids]
  const parameter = (value: unknown): string => `$${values.push(value)}`
  const conditions = ['(SELECT true FROM record WHERE record.id = asked.id)']
  if (state !== undefined) {
    conditions.push(`(SELECT state FROM record WHERE record.id = asked.id) = ${parameter(stateNumber(state))}`)
  }
  const isListed = (table: string, name: string): string =>
    `(SELECT true FROM ${table} AS listed (name, run) WHERE listed.name = ${parameter(name)} AND listed.run = asked.id)`
  if (tag !== undefined) conditions.push(isListed('run_tag', tagText(tag)))
  if (task !== undefined) conditions.push(isListed('run_task', taskText(task)))
  const text = `SELECT id::text FROM unnest($1::uuid[]) AS asked (id) WHERE ${conditions.join(' AND ')}
    ORDER BY id DESC LIMIT ${parameter(pageSize + 1)}`
  return (await query({ text }, values)).map(({ id }) => String(id))
}

function idsIn(value: unknown): string[] {
  // The statements return an array of texts.
  return value as string[]
}

/** All words are required, each as the phrase of its parts (https://www.postgresql.org/docs/current/datatype-textsearch.html). */
function queryOf(words: readonly SearchWord[]): string {
  return words
    .map(({ text, isPrefix }) => ({ parts: wordsOf(text), end: isPrefix ? ':*' : '' }))
    .filter(({ parts }) => parts.length > 0)
    .map(({ parts, end }) => `('${parts.join("' <-> '")}'${end})`)
    .join(' & ')
}
