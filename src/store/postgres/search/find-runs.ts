/**
 * Runs that have all words of a search, newest first. The index for words knows no order, and gives all runs with a word
 * or none; so the newest runs are looked at one by one, which finds words that are common, then the index is asked, for a
 * bounded number of runs. Whatever the words are, a page costs a bounded number of rows; it can be short for that.
 */
import type { SearchWord } from '../../../domain/search.ts'
import { wordsOf } from '../../search-words.ts'
import type { RunFilter } from '../../store.ts'
import { stateNumber } from '../../record.ts'
import type { Query, Statement } from '../connection/connection.ts'
import type { Reader } from '../connection/reader.ts'
import { boundsOf, taskText, type FoundRuns } from '../statements/lists.ts'
import { tagText } from '../statements/save.ts'

/** Runs whose words are looked at one by one, before the index is asked and where it would give too many. */
const maxNear = 2_000
const maxFar = 20_000
/** Runs that the index gives. */
const maxFound = 20_000
/** Runs with the words that are held against the rest of the filter at once. */
const maxCompared = 2_000

interface Look {
  /** Newest first; of more than these, the newest. */
  readonly ids: readonly string[]
  /** Where the next look goes on; null: there is nothing more. */
  readonly end: string | null
}

const columns = `ARRAY(SELECT run FROM found ORDER BY run DESC LIMIT ${maxCompared + 1})::text[] AS ids`

function walkOf(name: string, limit: number): Statement {
  return {
    name,
    text: `
      WITH walked AS MATERIALIZED (
        SELECT run, words @@ $1::tsquery AS is_found FROM search
        WHERE run >= $2 AND run < $3 ORDER BY run DESC LIMIT ${limit}),
      found AS (SELECT run FROM walked WHERE is_found)
      SELECT ${columns}, (SELECT run FROM walked ORDER BY run DESC OFFSET ${limit - 1}) AS last`,
  }
}
const walkNear = walkOf('walk-search-near', maxNear)
const walkFar = walkOf('walk-search-far', maxFar)
// In whatever order: sorting would take all of them.
const ask = {
  name: 'ask-search',
  text: `
    WITH asked AS MATERIALIZED (SELECT run FROM search WHERE words @@ $1::tsquery LIMIT ${maxFound + 1}),
    found AS (SELECT run FROM asked WHERE run >= $2 AND run < $3)
    SELECT ${columns}, (SELECT count(*) FROM asked) > ${maxFound} AS is_common`,
}

export async function findRuns(reader: Reader, filter: RunFilter, words: readonly SearchWord[]): Promise<FoundRuns> {
  const { pageSize } = filter
  const wanted = queryOf(words)
  const { from, ...bounds } = boundsOf(filter)
  let { below } = bounds
  const found: string[] = []
  const looks = [
    () => walk(reader.query, walkNear, [wanted, from, below]),
    () => reader.transact((query) => askIndex(query, [wanted, from, below])),
    () => walk(reader.query, walkFar, [wanted, from, below]),
  ]
  for (const look of looks) {
    const looked = await look()
    if (looked === null) continue
    const ids = looked.ids.slice(0, maxCompared)
    found.push(...(await matching(reader.query, filter, ids)))
    if (found.length > pageSize) return { ids: found.slice(0, pageSize), hasMore: true, lastId: null }
    const end = ids.length < looked.ids.length ? (ids.at(-1) ?? null) : looked.end
    if (end === null) return { ids: found, hasMore: false, lastId: null }
    below = end
    if (ids.length < looked.ids.length) break
  }
  return { ids: found, hasMore: true, lastId: below }
}

async function walk(query: Query, statement: Statement, values: readonly string[]): Promise<Look> {
  const [row] = await query(statement, values)
  const last = row?.['last']
  return { ids: idsIn(row?.['ids']), end: typeof last === 'string' ? last : null }
}

/** @returns null where the words are too common for it */
async function askIndex(query: Query, values: readonly string[]): Promise<Look | null> {
  // Such an index can be read in no other way.
  await query({ text: 'SET LOCAL enable_bitmapscan = on' })
  const [row] = await query(ask, values)
  return row?.['is_common'] === true ? null : { ids: idsIn(row?.['ids']), end: null }
}

/** Selects the runs that match the rest of the filter, at most one more than a page. Each is looked up by its id. */
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
  // As the statement has it: an array of texts.
  return value as string[]
}

/** Each word as a phrase of what it is made of; all are needed (https://www.postgresql.org/docs/current/datatype-textsearch.html). */
function queryOf(words: readonly SearchWord[]): string {
  return words
    .map(({ text, isBeginning }) => ({ parts: wordsOf(text), end: isBeginning ? ':*' : '' }))
    .filter(({ parts }) => parts.length > 0)
    .map(({ parts, end }) => `('${parts.join("' <-> '")}'${end})`)
    .join(' & ')
}
