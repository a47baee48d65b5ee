/**
 * Lists of runs: the tables of tags and tasks that filters use, and pages, newest run first. A page walks the most
 * selective index, or checks the runs that a search finds.
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { lowestRunId } from '../../../domain/ids.ts'
import type { RunRecord, RunState } from '../../../domain/run.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import { stateNumber } from '../../run-codec.ts'
import { listedRun, maxPageJobs } from '../../run-record.ts'
import type { SearchWord } from '../../search-text.ts'
import type { RunFilter, RunPage } from '../../store.ts'
import { bytesOfId, idOfBytes, prepareSelect } from '../connection/node-sqlite.ts'
import type { SearchIndex } from '../search-index.ts'
import type { Payloads } from './payloads.ts'
import type { Records } from './records.ts'
import type { Totals } from './totals.ts'

export type Lists = ReturnType<typeof createLists>

export function createLists(database: DatabaseSync) {
  const insertTag = database.prepare('INSERT OR IGNORE INTO run_tag (tag, id) VALUES (?, ?)')
  const deleteTag = database.prepare('DELETE FROM run_tag WHERE tag = ? AND id = ?')
  const insertTask = database.prepare('INSERT INTO run_task (task, id) VALUES (?, ?)')
  const deleteTask = database.prepare('DELETE FROM run_task WHERE task = ? AND id = ?')
  const insertName = database.prepare('INSERT INTO task (name) VALUES (?)')
  const selectNames = database.prepare('SELECT id, name FROM task')
  /** The numbers that stand for tasks in the table of their runs. */
  const numbers = new Map(selectNames.all().map(({ id, name }) => [String(name), Number(id)]))
  /** Names that this transaction has added. */
  let added: string[] = []

  function numberOf(name: string): number {
    const known = numbers.get(name)
    if (known !== undefined) return known
    const number = Number(insertName.run(name).lastInsertRowid)
    numbers.set(name, number)
    added.push(name)
    return number
  }

  const tasksOf = ({ jobs }: Run): Set<string> => new Set(jobs.map(({ task }) => task))

  return {
    add(run: Run): void {
      const bytes = bytesOfId(run.id)
      for (const tag of run.tags) insertTag.run(tag, bytes)
      for (const task of tasksOf(run)) insertTask.run(numberOf(task), bytes)
    },
    remove(run: Run): void {
      const bytes = bytesOfId(run.id)
      for (const tag of run.tags) deleteTag.run(tag, bytes)
      for (const task of tasksOf(run)) deleteTask.run(numberOf(task), bytes)
    },
    /** @returns null if no run ever had the task */
    taskNumber: (name: string) => numbers.get(name) ?? null,
    afterCommit() {
      added = []
    },
    afterRollback() {
      for (const name of added) numbers.delete(name)
      added = []
    },
  }
}

/** A page walks the index of its state if that has at most this many runs. */
const fewRuns = 10_000
/** Bound on the found runs that one page checks, because all other operations wait. The page ends there, full or not. */
const maxChecked = 2_000

export interface PageSources {
  readonly records: Pick<Records, 'read'>
  readonly payloads: Pick<Payloads, 'text'>
  readonly lists: Pick<Lists, 'taskNumber'>
  readonly totals: Pick<Totals, 'current'>
  /** null for a store without search. */
  readonly searchIndex: SearchIndex | null
}

/** `lastId`: id of the last run that was read, shown or not; null without one. */
type Page = Omit<RunPage, 'lastId'> & { readonly lastId: string | null }

/** @returns a function that reads a page */
export function createPages(
  database: DatabaseSync,
  { records, payloads, lists, totals, searchIndex }: PageSources,
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

  /** 0 for a task that no run ever had: it matches no run. */
  const taskOf = ({ task }: RunFilter): number | undefined =>
    task === undefined ? undefined : (lists.taskNumber(task) ?? 0)

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

  function walk(filter: RunFilter): Page {
    const { sql, values } = listQuery(filter, taskOf(filter), totals.current().runs)
    // Selects no records: a sort would carry them along, and a page of large runs needs only the first ones.
    const rows = prepareSelect<{ readonly key: number; readonly id: Uint8Array }>(
      database,
      `SELECT record.key, record.id ${sql}`,
    )(...values)
    const { runs, keysRead } = readRuns(rows.slice(0, filter.pageSize).map(({ key }) => key))
    const last = rows[keysRead - 1]
    return { runs, hasMore: rows.length > keysRead, lastId: last === undefined ? null : idOfBytes(last.id) }
  }

  function find(filter: RunFilter, words: readonly SearchWord[]): RunPage {
    if (searchIndex === null) throw new Error('there is no index for search')
    const { beforeId, createdAfter, createdBefore } = filter
    const from = createdAfter === undefined ? 0 : keyFrom(lowestRunId(createdAfter + 1))
    const below = Math.min(
      beforeId === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(beforeId),
      createdBefore === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(lowestRunId(createdBefore)),
    )
    const found = searchIndex.find(words, { from, below, limit: maxChecked })
    const properties = [...hasState(filter.state), ...hasTag(filter.tag), ...hasTask(taskOf(filter))]
    const { where, values } = whereOf([['key = ?'], ...properties, ...isCreatedWithin('id', filter)])
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

  return (filter) => {
    if (filter.words !== undefined) return find(filter, filter.words)
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

/** No condition for a filter without a value. */
function given<Value>(value: Value | undefined, condition: (value: Value) => Condition): Condition[] {
  return value === undefined ? [] : [condition(value)]
}

const hasState = (state: RunState | undefined): Condition[] =>
  given(state, (known) => ['record.state = ?', stateNumber(known)])
const hasTag = (tag: string | undefined): Condition[] =>
  given(tag, (known) => ['EXISTS (SELECT 1 FROM run_tag WHERE tag = ? AND id = record.id)', known])
const hasTask = (task: number | undefined): Condition[] =>
  given(task, (known) => ['EXISTS (SELECT 1 FROM run_task WHERE task = ? AND id = record.id)', known])

/** The bounds are exclusive, and an id holds its run's creation. */
function isCreatedWithin(id: string, { createdAfter, createdBefore }: RunFilter): Condition[] {
  return [
    ...given(createdAfter, (at): Condition => [`${id} >= ?`, bytesOfId(lowestRunId(at + 1))]),
    ...given(createdBefore, (at): Condition => [`${id} < ?`, bytesOfId(lowestRunId(at))]),
  ]
}

/** What a page walks. */
interface Source {
  readonly tables: string
  /** The column of ids that orders it. */
  readonly id: string
  readonly conditions: readonly Condition[]
}

/** Selects one row more than a page holds, to know whether there are more. @returns the SQL after the columns */
function listQuery(filter: RunFilter, task: number | undefined, runs: Readonly<Record<RunState, number>>) {
  const { state, tag, beforeId, pageSize } = filter
  const { tables, id, conditions } = sourceByState(filter, task, runs) ?? sourceOf(tag, task)
  const { where, values } = whereOf([
    ...conditions,
    ...hasState(state),
    ...given(beforeId, (last): Condition => [`${id} < ?`, bytesOfId(last)]),
    ...isCreatedWithin(id, filter),
  ])
  return { sql: `FROM ${tables} ${where} ORDER BY ${id} DESC LIMIT ?`, values: [...values, pageSize + 1] }
}

function sourceOf(tag: string | undefined, task: number | undefined): Source {
  // CROSS JOIN keeps the order of the tables (https://sqlite.org/lang_select.html).
  if (tag !== undefined) {
    const tables = 'run_tag CROSS JOIN record ON record.id = run_tag.id'
    return { tables, id: 'run_tag.id', conditions: [['run_tag.tag = ?', tag], ...hasTask(task)] }
  }
  if (task !== undefined) {
    const tables = 'run_task CROSS JOIN record ON record.id = run_task.id'
    return { tables, id: 'run_task.id', conditions: [['run_task.task = ?', task]] }
  }
  return { tables: 'record', id: 'record.id', conditions: [] }
}

/**
 * The partial index of a state with few runs, each of which is checked for the tag and the task; null without one. SQLite
 * uses such an index only if the query has its condition (https://sqlite.org/partialindex.html).
 */
function sourceByState(
  { state, tag }: RunFilter,
  task: number | undefined,
  runs: Readonly<Record<RunState, number>>,
): Source | null {
  if (state === undefined || runs[state] > fewRuns) return null
  const conditions = [...hasTag(tag), ...hasTask(task)]
  const partial = (index: string, condition: string): Source => {
    return { tables: `record INDEXED BY ${index}`, id: 'record.id', conditions: [[condition], ...conditions] }
  }
  if (state !== 'completed') return partial('record_by_state', 'record.state <> 1')
  // Completed runs share an index with all other finished runs.
  const finished = runs.completed + runs.failed + runs.cancelled
  return finished <= fewRuns ? partial('record_finished', 'record.finished_at IS NOT NULL') : null
}
