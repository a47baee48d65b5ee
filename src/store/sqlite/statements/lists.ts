/**
 * Pages of runs, newest run first. A page walks the most selective index, or checks the runs that a search finds.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { lowestRunId } from '../../../domain/ids.ts'
import type { RunRecord, RunState } from '../../../domain/run.ts'
import { stateNumber } from '../../run-codec.ts'
import { listedRun, maxPageJobs } from '../../run-record.ts'
import type { SearchWord } from '../../search-text.ts'
import type { RunFilter, RunPage } from '../../store.ts'
import { bytesOfId, idOfBytes, prepareSelect } from '../connection/node-sqlite.ts'
import type { SearchIndex } from '../search-index.ts'
import type { Filters } from './filters.ts'
import type { Payloads } from './payloads.ts'
import type { Records } from './records.ts'
import type { Totals } from './totals.ts'

/** A page walks the index of its state if that has at most this many runs. */
const fewRuns = 10_000
/** Bound on the found runs that one page checks, because all other operations wait. The page ends there, full or not. */
const maxChecked = 2_000

export interface PageSources {
  readonly records: Pick<Records, 'read'>
  readonly payloads: Pick<Payloads, 'text'>
  readonly filters: Pick<Filters, 'taskNumber'>
  readonly totals: Pick<Totals, 'current'>
  /** null for a store without search. */
  readonly searchIndex: SearchIndex | null
}

/** `lastId`: id of the last run that was read, shown or not; null without one. */
type Page = Omit<RunPage, 'lastId'> & { readonly lastId: string | null }

/** A filter with the number of its task. */
type Filter = Omit<RunFilter, 'task' | 'words'> & { readonly task: number | undefined }

/** @returns a function that reads a page */
export function createPages(
  database: DatabaseSync,
  { records, payloads, filters, totals, searchIndex }: PageSources,
): (filter: RunFilter) => RunPage {
  const selectFrom = database.prepare('SELECT key FROM record WHERE id >= ? ORDER BY id LIMIT 1')
  const selectId = database.prepare('SELECT id FROM record WHERE key = ?')
  const selectEnd = database.prepare('SELECT coalesce(max(key), 0) + 1 AS key FROM record')

  /**
   * Key of the first run with this id or a higher one. Runs get ids and keys in the same order, unless the clock was set back
   * by more than a day or while no process was running.
   */
  function keyFrom(id: string): number {
    return Number((selectFrom.get(bytesOfId(id)) ?? selectEnd.get())?.['key'])
  }

  function idOf(key: number | undefined): string | null {
    const id = key === undefined ? undefined : selectId.get(key)?.['id']
    return id instanceof Uint8Array ? idOfBytes(id) : null
  }

  /** With 0 for a task that no run ever had: it matches no run. */
  function withTaskNumber({ task, ...filter }: RunFilter): Filter {
    return { ...filter, task: task === undefined ? undefined : (filters.taskNumber(task) ?? 0) }
  }

  /** Reads runs until they have the jobs of a page; leaves out those that cannot be read. */
  function readRuns(keys: readonly number[]): { readonly runs: readonly RunRecord[]; readonly keysRead: number } {
    const runs: RunRecord[] = []
    let jobs = 0
    for (const [keysRead, key] of keys.entries()) {
      if (jobs >= maxPageJobs) return { runs, keysRead }
      const stored = records.read(key)
      if (stored === null) continue
      runs.push(listedRun(stored.run, (index, apart) => payloads.text(key, index, apart)))
      jobs += stored.run.jobs.length
    }
    return { runs, keysRead: keys.length }
  }

  function walk(filter: Filter): Page {
    const { sql, values } = listQuery(filter, totals.current().runs)
    // Selects no records: a sort would carry them along, and a page of large runs needs only the first ones.
    const rows = prepareSelect<{ readonly key: number; readonly id: Uint8Array }>(
      database,
      `SELECT record.key, record.id ${sql}`,
    )(...values)
    const { runs, keysRead } = readRuns(rows.slice(0, filter.pageSize).map(({ key }) => key))
    const last = rows[keysRead - 1]
    return { runs, hasMore: rows.length > keysRead, lastId: last === undefined ? null : idOfBytes(last.id) }
  }

  function find(filter: Filter, words: readonly SearchWord[]): RunPage {
    if (searchIndex === null) throw new Error('there is no index for search')
    const { beforeId, createdAfter, createdBefore } = filter
    const from = createdAfter === undefined ? 0 : keyFrom(lowestRunId(createdAfter + 1))
    const below = Math.min(
      beforeId === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(beforeId),
      createdBefore === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(lowestRunId(createdBefore)),
    )
    const found = searchIndex.find(words, { from, below, limit: maxChecked })
    const { where, values } = whereOf([['key = ?'], ...conditionsOf(filter), ...createdWithin('id', filter)])
    const matches = database.prepare(`SELECT 1 FROM record ${where}`)
    const keys: number[] = []
    let checked = 0
    for (const key of found) {
      if (keys.length === filter.pageSize) break
      checked += 1
      if (matches.get(key, ...values) !== undefined) keys.push(key)
    }
    const { runs, keysRead } = readRuns(keys)
    if (keysRead < keys.length) return { runs, hasMore: true }
    const lastId = idOf(found[checked - 1])
    const hasMore = checked < found.length || found.length === maxChecked
    return { runs, hasMore, ...(lastId !== null && { lastId }) }
  }

  return ({ words, ...given }) => {
    const filter = withTaskNumber(given)
    if (words !== undefined) return find(filter, words)
    let page = walk(filter)
    // A caller pages by the last run of a page: skips pages without a readable one.
    while (page.runs.length === 0 && page.hasMore && page.lastId !== null) {
      page = walk({ ...filter, beforeId: page.lastId })
    }
    return { runs: page.runs, hasMore: page.hasMore }
  }
}

/** SQL, and the values of its question marks. */
type Condition = readonly [sql: string, ...values: SQLInputValue[]]

function whereOf(conditions: readonly Condition[]) {
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(([sql]) => sql).join(' AND ')}`
  return { where, values: conditions.flatMap(([, ...values]) => values) }
}

type Properties = { readonly [Key in 'state' | 'tag' | 'task']?: Filter[Key] | undefined }

/** One condition for each property that is given. */
function conditionsOf({ state, tag, task }: Properties): Condition[] {
  const conditions: Condition[] = []
  if (state !== undefined) conditions.push(['record.state = ?', stateNumber(state)])
  if (tag !== undefined) conditions.push(['EXISTS (SELECT 1 FROM run_tag WHERE tag = ? AND id = record.id)', tag])
  if (task !== undefined) conditions.push(['EXISTS (SELECT 1 FROM run_task WHERE task = ? AND id = record.id)', task])
  return conditions
}

/** The bounds are exclusive, and an id holds its run's creation. @param id the column */
function createdWithin(id: string, { createdAfter, createdBefore }: Filter): Condition[] {
  const bounds: Condition[] = []
  if (createdAfter !== undefined) bounds.push([`${id} >= ?`, bytesOfId(lowestRunId(createdAfter + 1))])
  if (createdBefore !== undefined) bounds.push([`${id} < ?`, bytesOfId(lowestRunId(createdBefore))])
  return bounds
}

type RunTotals = Readonly<Record<RunState, number>>

/** Selects one row more than a page holds, to know whether there are more. @returns the SQL after the columns */
function listQuery(filter: Filter, runs: RunTotals) {
  const { tables, id, conditions } = sourceOf(filter, runs)
  const { beforeId, pageSize } = filter
  const isBefore: Condition[] = beforeId === undefined ? [] : [[`${id} < ?`, bytesOfId(beforeId)]]
  const { where, values } = whereOf([...conditions, ...isBefore, ...createdWithin(id, filter)])
  return { sql: `FROM ${tables} ${where} ORDER BY ${id} DESC LIMIT ?`, values: [...values, pageSize + 1] }
}

/** What a page walks. */
interface Source {
  readonly tables: string
  /** The column of ids that orders it. */
  readonly id: string
  readonly conditions: readonly Condition[]
}

function sourceOf({ state, tag, task }: Filter, runs: RunTotals): Source {
  const small = smallIndexOf(state, runs)
  if (small !== null) {
    const conditions = [small.condition, ...conditionsOf({ state, tag, task })]
    return { tables: `record INDEXED BY ${small.index}`, id: 'record.id', conditions }
  }
  // CROSS JOIN keeps the order of the tables (https://sqlite.org/lang_select.html).
  if (tag !== undefined) {
    const tables = 'run_tag CROSS JOIN record ON record.id = run_tag.id'
    return { tables, id: 'run_tag.id', conditions: [['run_tag.tag = ?', tag], ...conditionsOf({ state, task })] }
  }
  if (task !== undefined) {
    const tables = 'run_task CROSS JOIN record ON record.id = run_task.id'
    return { tables, id: 'run_task.id', conditions: [['run_task.task = ?', task], ...conditionsOf({ state })] }
  }
  return { tables: 'record', id: 'record.id', conditions: conditionsOf({ state }) }
}

interface PartialIndex {
  readonly index: string
  /** SQLite uses the index only if the query has its condition (https://sqlite.org/partialindex.html). */
  readonly condition: Condition
}

/** The partial index of a state with few runs; null without one. */
function smallIndexOf(state: RunState | undefined, runs: RunTotals): PartialIndex | null {
  if (state === undefined || runs[state] > fewRuns) return null
  if (state !== 'completed') return { index: 'record_by_state', condition: ['record.state <> 1'] }
  // Completed runs share an index with all other finished runs.
  if (runs.completed + runs.failed + runs.cancelled > fewRuns) return null
  return { index: 'record_finished', condition: ['record.finished_at IS NOT NULL'] }
}
