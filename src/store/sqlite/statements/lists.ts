/**
 * Lists of runs: the tags and the tasks by which they filter, and pages, newest run first. A page walks the most selective
 * index, or looks at the runs that a search finds.
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

export interface Lists {
  add(run: Run): void
  remove(run: Run): void
  /** The number that stands for a task; null where no run ever had it. */
  taskId(name: string): number | null
  /** Call after the commit. */
  keep(): void
  /** Call when the transaction was rolled back. */
  revert(): void
}

export function createLists(database: DatabaseSync): Lists {
  const insertTag = database.prepare('INSERT OR IGNORE INTO run_tag (tag, id) VALUES (?, ?)')
  const deleteTag = database.prepare('DELETE FROM run_tag WHERE tag = ? AND id = ?')
  const insertTask = database.prepare('INSERT INTO run_task (task, id) VALUES (?, ?)')
  const deleteTask = database.prepare('DELETE FROM run_task WHERE task = ? AND id = ?')
  const insertName = database.prepare('INSERT INTO task (name) VALUES (?)')
  const selectNames = database.prepare('SELECT id, name FROM task')
  const ids = new Map(selectNames.all().map(({ id, name }) => [String(name), Number(id)]))
  /** That the transaction has added. */
  let added: string[] = []

  function idOf(name: string): number {
    const known = ids.get(name)
    if (known !== undefined) return known
    const id = Number(insertName.run(name).lastInsertRowid)
    ids.set(name, id)
    added.push(name)
    return id
  }

  const tasksOf = ({ jobs }: Run): Set<string> => new Set(jobs.map(({ task }) => task))

  return {
    add(run) {
      const bytes = bytesOfId(run.id)
      for (const tag of run.tags) insertTag.run(tag, bytes)
      for (const task of tasksOf(run)) insertTask.run(idOf(task), bytes)
    },
    remove(run) {
      const bytes = bytesOfId(run.id)
      for (const tag of run.tags) deleteTag.run(tag, bytes)
      for (const task of tasksOf(run)) deleteTask.run(idOf(task), bytes)
    },
    taskId: (name) => ids.get(name) ?? null,
    keep() {
      added = []
    },
    revert() {
      for (const name of added) ids.delete(name)
      added = []
    },
  }
}

/** The index of a state with at most this many runs is walked itself. */
const fewRuns = 10_000
/**
 * Found runs per page that are checked against the rest of the filter, because all other operations wait meanwhile. The
 * page ends there even if it is not full.
 */
const maxLookedAt = 2_000

export interface PageSources {
  readonly records: Pick<Records, 'read'>
  readonly payloads: Pick<Payloads, 'text'>
  readonly lists: Pick<Lists, 'taskId'>
  readonly totals: Pick<Totals, 'current'>
  /** null: there is none. */
  readonly searchIndex: SearchIndex | null
}

/** `lastId` of the last run that was looked at; null without one. */
type Page = Omit<RunPage, 'lastId'> & { readonly lastId: string | null }

/** @returns reads a page */
export function createPages(
  database: DatabaseSync,
  { records, payloads, lists, totals, searchIndex }: PageSources,
): (filter: RunFilter) => RunPage {
  const selectFrom = database.prepare('SELECT key FROM record WHERE id >= ? ORDER BY id LIMIT 1')
  const selectId = database.prepare('SELECT id FROM record WHERE key = ?')
  const selectEnd = database.prepare('SELECT coalesce(max(key), 0) + 1 AS key FROM record')

  /** Keys grow as ids do: runs are accepted in the order in which they get theirs. */
  function keyFrom(id: string): number {
    return Number((selectFrom.get(bytesOfId(id)) ?? selectEnd.get())?.['key'])
  }

  function idOf(key: number | undefined): string | null {
    const id = key === undefined ? undefined : selectId.get(key)?.['id']
    return id instanceof Uint8Array ? idOfBytes(id) : null
  }

  /** No task has the number 0, so nothing is found of one that no run ever had. */
  const taskOf = ({ task }: RunFilter): number | undefined =>
    task === undefined ? undefined : (lists.taskId(task) ?? 0)

  /** The first runs that together have as many jobs as a page; those that cannot be read are left out. */
  function readRuns(keys: readonly number[]): { readonly runs: readonly RunRecord[]; readonly looked: number } {
    const runs: RunRecord[] = []
    let jobs = 0
    for (const [looked, key] of keys.entries()) {
      if (jobs >= maxPageJobs) return { runs, looked }
      const stored = records.read(key)
      if (stored === null) continue
      runs.push(listedRun(stored.run, (index, apart) => payloads.text(key, index, apart)))
      jobs += stored.run.jobs.length
    }
    return { runs, looked: keys.length }
  }

  function walk(filter: RunFilter): Page {
    const { sql, values } = listQuery(filter, taskOf(filter), totals.current().runs)
    // Selects keys alone: a sort would carry the records along, and a page has only the first ones of large runs.
    const rows = prepareSelect<{ readonly key: number; readonly id: Uint8Array }>(
      database,
      'record.key, record.id',
      sql,
    )(...values)
    const { runs, looked } = readRuns(rows.slice(0, filter.pageSize).map(({ key }) => key))
    const last = rows[looked - 1]
    return { runs, hasMore: rows.length > looked, lastId: last === undefined ? null : idOfBytes(last.id) }
  }

  function find(filter: RunFilter, words: readonly SearchWord[]): RunPage {
    if (searchIndex === null) throw new Error('there is no index for search')
    const { beforeId, createdAfter, createdBefore } = filter
    const from = createdAfter === undefined ? 0 : keyFrom(lowestRunId(createdAfter + 1))
    const below = Math.min(
      beforeId === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(beforeId),
      createdBefore === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(lowestRunId(createdBefore)),
    )
    const found = searchIndex.find(words, from, below, maxLookedAt)
    const conditions = [...hasState(filter.state), ...hasTag(filter.tag), ...hasTask(taskOf(filter))]
    const { where, values } = allOf([['key = ?'], ...conditions])
    const matches = database.prepare(`SELECT 1 FROM record ${where}`)
    const keys: number[] = []
    let checked = 0
    for (const key of found) {
      if (keys.length === filter.pageSize) break
      checked += 1
      if (matches.get(key, ...values) !== undefined) keys.push(key)
    }
    const { runs, looked } = readRuns(keys)
    if (looked < keys.length) return { runs, hasMore: true }
    const lastId = idOf(found[checked - 1])
    const hasMore = checked < found.length || found.length === maxLookedAt
    return { runs, hasMore, ...(lastId !== null && { lastId }) }
  }

  return (filter) => {
    if (filter.words !== undefined) return find(filter, filter.words)
    let page = walk(filter)
    // Skips pages without a readable run: the next page begins after the last run of this one.
    while (page.runs.length === 0 && page.hasMore && page.lastId !== null)
      page = walk({ ...filter, beforeId: page.lastId })
    return { runs: page.runs, hasMore: page.hasMore }
  }
}

/** With the values of its question marks. */
type Condition = readonly [sql: string, ...values: SQLInputValue[]]

function allOf(conditions: readonly Condition[]) {
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.map(([sql]) => sql).join(' AND ')}`
  return { where, values: conditions.flatMap(([, ...values]) => values) }
}

/** No condition where the filter has no value. */
function given<Value>(value: Value | undefined, condition: (value: Value) => Condition): Condition[] {
  return value === undefined ? [] : [condition(value)]
}

const hasState = (state: RunState | undefined): Condition[] =>
  given(state, (known) => ['record.state = ?', stateNumber(known)])
const hasTag = (tag: string | undefined): Condition[] =>
  given(tag, (known) => ['EXISTS (SELECT 1 FROM run_tag WHERE tag = ? AND id = record.id)', known])
const hasTask = (task: number | undefined): Condition[] =>
  given(task, (known) => ['EXISTS (SELECT 1 FROM run_task WHERE task = ? AND id = record.id)', known])

/** Where a page comes from, and the column of ids along which it walks. */
interface Source {
  readonly tables: string
  readonly id: string
  readonly conditions: readonly Condition[]
}

/** Selects one row more than a page holds, so that it is known whether there are more. @returns what follows the columns */
function listQuery(filter: RunFilter, task: number | undefined, runs: Readonly<Record<RunState, number>>) {
  const { state, tag, beforeId, createdAfter, createdBefore, pageSize } = filter
  const { tables, id, conditions } = sourceByState(filter, task, runs) ?? sourceOf(tag, task)
  const { where, values } = allOf([
    ...conditions,
    ...hasState(state),
    ...given(beforeId, (last): Condition => [`${id} < ?`, bytesOfId(last)]),
    // The bounds are exclusive, and an id holds its run's creation.
    ...given(createdAfter, (at): Condition => [`${id} >= ?`, bytesOfId(lowestRunId(at + 1))]),
    ...given(createdBefore, (at): Condition => [`${id} < ?`, bytesOfId(lowestRunId(at))]),
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
 * The partial index of a state with few runs, which are read and asked for the tag and the task; null without one. Such an
 * index is used only where the query has its condition (https://sqlite.org/partialindex.html).
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
  // The index of finished runs has these as well.
  const finished = runs.completed + runs.failed + runs.cancelled
  return finished <= fewRuns ? partial('record_finished', 'record.finished_at IS NOT NULL') : null
}
