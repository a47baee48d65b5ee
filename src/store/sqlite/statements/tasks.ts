/**
 * What claims ask about tasks: when jobs of those with a rate have started, and which are paused. Kept in memory, so that a
 * claim asks no query, written in the transaction, and reverted with it.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Allowance, allowanceOf, type Rate, rateBounds, startInstant, type Starts } from '../../../domain/task.ts'

export interface TaskStarts {
  allowance(task: string, rate: Rate, at: number): Allowance
  note(task: string, rate: Rate, count: number, at: number): void
  /** The clock was set by this much: a window is a length of time. */
  shift(byMs: number): void
  /** The clock may have been set back while the file was closed: no start counts as one of the future. */
  bound(at: number): void
  /** Call when the transaction was rolled back. */
  revert(): void
}

export function createTaskStarts(database: DatabaseSync): TaskStarts {
  const select = database.prepare('SELECT task, at, count FROM task_start ORDER BY task, at')
  const insert = database.prepare(`
    INSERT INTO task_start (task, at, count) VALUES (?, ?, ?)
    ON CONFLICT (task, at) DO UPDATE SET count = count + excluded.count`)
  const removeUntil = database.prepare('DELETE FROM task_start WHERE task = ? AND at <= ?')
  const removeAll = database.prepare('DELETE FROM task_start')
  let byTask = read()
  let hasChanged = false

  function read(): Map<string, Starts[]> {
    const found = new Map<string, Starts[]>()
    for (const { task, at, count } of select.all()) {
      const name = String(task)
      found.set(name, [...(found.get(name) ?? []), { at: Number(at), count: Number(count) }])
    }
    return found
  }

  /** Writes every start again at another instant; null: it is forgotten. */
  function move(instantOf: (at: number) => number | null): void {
    if (byTask.size === 0) return
    hasChanged = true
    removeAll.run()
    for (const [task, starts] of byTask) {
      for (const { at, count } of starts) {
        const moved = instantOf(at)
        if (moved !== null) insert.run(task, moved, count)
      }
    }
    byTask = read()
  }

  return {
    allowance: (task, rate, at) => allowanceOf(byTask.get(task) ?? [], rate, at),
    note(task, rate, count, at) {
      hasChanged = true
      const before = byTask.get(task) ?? []
      const instant = startInstant(at, rate)
      const kept = before.filter((start) => start.at > at - rate.perMs)
      if (kept.length < before.length) removeUntil.run(task, at - rate.perMs)
      insert.run(task, instant, count)
      const same = kept.find((start) => start.at === instant)
      const others = kept.filter((start) => start !== same)
      const starts = [...others, { at: instant, count: count + (same?.count ?? 0) }]
      byTask.set(
        task,
        starts.toSorted((one, other) => one.at - other.at),
      )
    },
    shift: (byMs) => move((at) => at + byMs),
    bound: (now) => move((at) => (at <= now - rateBounds.perMs.max ? null : Math.min(at, now))),
    revert() {
      if (hasChanged) byTask = read()
      hasChanged = false
    },
  }
}

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
