/** The statement of a list: a page of runs, newest first. Which index it walks is the server's choice. */
import { lowestRunId } from '../../../domain/ids.ts'
import type { RunFilter } from '../../store.ts'
import { stateNumber } from '../../record.ts'
import { tagText } from '../writing/write.ts'

export interface ListQuery {
  readonly text: string
  readonly values: readonly unknown[]
}

/** Selects one run more than a page holds, so that it is known whether there are more. */
export function listQuery({ state, task, tag, ...bounds }: RunFilter): ListQuery {
  const values: unknown[] = []
  const parameter = (value: unknown): string => `$${values.push(value)}`
  const joins: string[] = []
  const conditions: string[] = []
  if (tag !== undefined) {
    joins.push(`JOIN run_tag ON run_tag.run_id = record.id AND run_tag.tag = ${parameter(tagText(tag))}`)
  }
  if (task !== undefined) {
    // Without a NUL, which no name has and no text of the database can have.
    const name = task.replaceAll('\0', ' ')
    joins.push(`JOIN run_task ON run_task.run_id = record.id AND run_task.task = ${parameter(name)}`)
  }
  if (state !== undefined) {
    conditions.push(`record.state = ${parameter(stateNumber(state))}`)
    // The condition of the partial index, which is used only where the query has it.
    if (state !== 'completed') conditions.push('record.state <> 1')
  }
  if (bounds.beforeId !== undefined) conditions.push(`record.id < ${parameter(bounds.beforeId)}`)
  // The bounds are exclusive, and an id holds its run's creation.
  if (bounds.createdAfter !== undefined) conditions.push(`record.id >= ${parameter(lowestId(bounds.createdAfter + 1))}`)
  if (bounds.createdBefore !== undefined) conditions.push(`record.id < ${parameter(lowestId(bounds.createdBefore))}`)
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
  const limit = parameter(bounds.pageSize + 1)
  return {
    text: `SELECT record.* FROM record ${joins.join(' ')} ${where} ORDER BY record.id DESC LIMIT ${limit}`,
    values,
  }
}

function lowestId(at: number): string {
  return `${lowestRunId(at)}-0000-0000-000000000000`
}
