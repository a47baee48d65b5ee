/** The query of a list: it walks one index from the newest run on, the most telling one that the filter allows. */
import type { SQLInputValue } from 'node:sqlite'
import { lowestRunId } from '../../domain/ids.ts'
import type { RunFilter } from '../store.ts'

export interface Query {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

type Condition = readonly [sql: string, value: SQLInputValue | undefined]

/** A state of no more runs than this is walked itself, and its runs are asked for the tag and the task. */
const fewRuns = 10_000

/**
 * Selects one row more than a page holds, so that it is known whether there are more.
 * @param inState how many runs are in the filter's state; any number where it names none
 */
export function listQuery({ tag, task, state, ...bounds }: RunFilter, inState: number): Query {
  const isStateTelling = state !== undefined && inState <= fewRuns
  const { source, id, found, group = '' } = isStateTelling ? ofRuns(tag, task) : sourceOf(tag, task)
  const conditions: Condition[] = [
    ...found,
    ['run.state = ?', state],
    [`${id} < ?`, bounds.beforeId],
    // The bounds are exclusive, and an id holds its run's creation.
    [`${id} >= ?`, bounds.createdAfter === undefined ? undefined : lowestRunId(bounds.createdAfter + 1)],
    [`${id} < ?`, bounds.createdBefore === undefined ? undefined : lowestRunId(bounds.createdBefore)],
  ]
  const used = conditions.filter((entry): entry is [string, SQLInputValue] => entry[1] !== undefined)
  const where = used.length === 0 ? '' : `WHERE ${used.map(([sql]) => sql).join(' AND ')}`
  return {
    sql: `SELECT run.* FROM ${source} ${where} ${group} ORDER BY ${id} DESC LIMIT ?`,
    values: [...used.map(([, value]) => value), bounds.pageSize + 1],
  }
}

interface Source {
  readonly source: string
  /** The column that is walked. */
  readonly id: string
  readonly found: readonly Condition[]
  /** Where the walk can meet a run more than once. */
  readonly group?: string
}

function sourceOf(tag: string | undefined, task: string | undefined): Source {
  // CROSS JOIN keeps the order of the tables (https://sqlite.org/lang_select.html).
  if (tag !== undefined) {
    const source = 'run_tag CROSS JOIN run ON run.id = run_tag.run_id'
    return { source, id: 'run_tag.run_id', found: [['run_tag.tag = ?', tag], hasTask(task)] }
  }
  if (task !== undefined) {
    const source = 'job CROSS JOIN run ON run.id = job.run_id'
    return { source, id: 'job.run_id', found: [['job.task = ?', task]], group: 'GROUP BY job.run_id' }
  }
  return ofRuns(tag, task)
}

function ofRuns(tag: string | undefined, task: string | undefined): Source {
  const hasTag: Condition = ['EXISTS (SELECT 1 FROM run_tag WHERE tag = ? AND run_id = run.id)', tag]
  return { source: 'run', id: 'run.id', found: [hasTag, hasTask(task)] }
}

function hasTask(task: string | undefined): Condition {
  return ['EXISTS (SELECT 1 FROM job WHERE run_id = run.id AND task = ?)', task]
}
