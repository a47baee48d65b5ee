/** What lists filter by: the tags of a run, and the tasks of its jobs. */
import type { DatabaseSync } from 'node:sqlite'
import type { Run } from '../../../domain/run/aggregate.ts'
import { bytesOfId } from '../connection/run-id.ts'

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
