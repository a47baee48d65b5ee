/** Lists: the tags and tasks they filter by, and the query of a page. It walks the most selective index, newest run first. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { lowestRunId } from '../../../domain/ids.ts'
import type { RunState } from '../../../domain/run.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import { stateNumber } from '../../record.ts'
import type { RunFilter } from '../../store.ts'
import { bytesOfId } from '../connection/rows.ts'

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

export interface Query {
  /** From its FROM on. */
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

export type Condition = readonly [sql: string, value: SQLInputValue | undefined]

/** The index of a state with at most this many runs is walked itself. */
const fewRuns = 10_000

export interface ListStatistics {
  readonly runs: Readonly<Record<RunState, number>>
  /** Number of the filter's task; null where no run ever had it. */
  readonly taskId: number | null
}

/** Selects one row more than a page holds, so that it is known whether there are more. */
export function listQuery({ tag, task, state, ...bounds }: RunFilter, { runs, taskId }: ListStatistics): Query {
  const { source, id, found, only } =
    state !== undefined && runs[state] <= fewRuns ? ofState(state, runs, tag, taskOf()) : sourceOf(tag, taskOf())
  const conditions: Condition[] = [
    ...found,
    ['record.state = ?', state && stateNumber(state)],
    [`${id} < ?`, bounds.beforeId && bytesOfId(bounds.beforeId)],
    // The bounds are exclusive, and an id holds its run's creation.
    [`${id} >= ?`, bounds.createdAfter === undefined ? undefined : bytesOfId(lowestRunId(bounds.createdAfter + 1))],
    [`${id} < ?`, bounds.createdBefore === undefined ? undefined : bytesOfId(lowestRunId(bounds.createdBefore))],
  ]
  const used = conditions.filter((entry): entry is [string, SQLInputValue] => entry[1] !== undefined)
  const all = [...(only === undefined ? [] : [only]), ...used.map(([sql]) => sql)]
  const where = all.length === 0 ? '' : `WHERE ${all.join(' AND ')}`
  return {
    sql: `FROM ${source} ${where} ORDER BY ${id} DESC LIMIT ?`,
    values: [...used.map(([, value]) => value), bounds.pageSize + 1],
  }

  function taskOf(): number | undefined {
    // No task has the number 0, so nothing is found.
    return task === undefined ? undefined : (taskId ?? 0)
  }
}

interface Source {
  readonly source: string
  /** The column that is walked. */
  readonly id: string
  readonly found: readonly Condition[]
  /** The condition of a partial index, which is used only where the query has it (https://sqlite.org/partialindex.html). */
  readonly only?: string
}

function sourceOf(tag: string | undefined, task: number | undefined): Source {
  // CROSS JOIN keeps the order of the tables (https://sqlite.org/lang_select.html).
  if (tag !== undefined) {
    const source = 'run_tag CROSS JOIN record ON record.id = run_tag.id'
    return { source, id: 'run_tag.id', found: [['run_tag.tag = ?', tag], hasTask(task)] }
  }
  if (task !== undefined) {
    const source = 'run_task CROSS JOIN record ON record.id = run_task.id'
    return { source, id: 'run_task.id', found: [['run_task.task = ?', task]] }
  }
  return { source: 'record', id: 'record.id', found: [] }
}

/** Few runs are in the state: they are read, and asked for the tag and the task. */
function ofState(
  state: RunState,
  runs: ListStatistics['runs'],
  tag: string | undefined,
  task: number | undefined,
): Source {
  const found = [hasTag(tag), hasTask(task)]
  if (state !== 'completed') {
    return { source: 'record INDEXED BY record_by_state', id: 'record.id', found, only: 'record.state <> 1' }
  }
  if (runs.completed + runs.failed + runs.cancelled > fewRuns) return sourceOf(tag, task)
  const only = 'record.finished_at IS NOT NULL'
  return { source: 'record INDEXED BY record_finished', id: 'record.id', found, only }
}

export function hasTag(tag: string | undefined): Condition {
  return ['EXISTS (SELECT 1 FROM run_tag WHERE tag = ? AND id = record.id)', tag]
}

export function hasTask(task: number | undefined): Condition {
  return ['EXISTS (SELECT 1 FROM run_task WHERE task = ? AND id = record.id)', task]
}
