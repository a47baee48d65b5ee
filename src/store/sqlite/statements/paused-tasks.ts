/** Paused tasks, whose jobs are not claimed. Kept in memory, so that a claim asks no query, and reverted with the transaction. */
import type { DatabaseSync } from 'node:sqlite'

export interface PausedTasks {
  all(): string[]
  has(task: string): boolean
  set(task: string, isPaused: boolean): void
  /** Call when the transaction was rolled back. */
  revert(): void
}

export function createPausedTasks(database: DatabaseSync): PausedTasks {
  const select = database.prepare('SELECT task FROM paused_task ORDER BY task')
  const insert = database.prepare('INSERT OR IGNORE INTO paused_task (task) VALUES (?)')
  const remove = database.prepare('DELETE FROM paused_task WHERE task = ?')
  const read = (): Set<string> => new Set(select.all().map(({ task }) => String(task)))
  let paused = read()
  let hasChanged = false

  return {
    all: () => [...paused],
    has: (task) => paused.has(task),
    set(task, isPaused) {
      if (isPaused === paused.has(task)) return
      hasChanged = true
      if (isPaused) {
        insert.run(task)
        paused.add(task)
      } else {
        remove.run(task)
        paused.delete(task)
      }
    },
    revert() {
      if (hasChanged) paused = read()
      hasChanged = false
    },
  }
}
