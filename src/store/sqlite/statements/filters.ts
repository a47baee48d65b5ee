/** Rows by which lists of runs are filtered: the tags and the tasks of each run. */
import type { DatabaseSync } from 'node:sqlite'
import type { Run } from '../../../domain/run/aggregate.ts'
import { bytesOfId } from '../connection/node-sqlite.ts'

export type Filters = ReturnType<typeof createFilters>

export function createFilters(database: DatabaseSync) {
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
