/**
 * What a claim asks about tasks: when jobs of tasks with a rate have started, and which tasks are paused. Both are kept
 * in memory, so that a claim needs no query, and written in the transaction.
 */
import type { DatabaseSync } from 'node:sqlite'
import { allowanceOf, type Rate, rateBounds, startInstant, type Starts } from '../../../domain/task.ts'

export function createTaskStarts(database: DatabaseSync) {
  const select = database.prepare('SELECT task, at, count FROM task_start ORDER BY task, at')
  const insert = database.prepare(`
    INSERT INTO task_start (task, at, count) VALUES (?, ?, ?)
    ON CONFLICT (task, at) DO UPDATE SET count = count + excluded.count`)
  const removeUntil = database.prepare('DELETE FROM task_start WHERE task = ? AND at <= ?')
  const removeAll = database.prepare('DELETE FROM task_start')
  let byTask = read()
  let hasChanged = false

  function read(): Map<string, readonly Starts[]> {
    const rows = select
      .all()
      .map(({ task, at, count }) => ({ task: String(task), at: Number(at), count: Number(count) }))
    return Map.groupBy(rows, ({ task }) => task)
  }

  /** Moves every start to another instant; null removes it. */
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
    allowance: (task: string, rate: Rate, at: number) => allowanceOf(byTask.get(task) ?? [], rate, at),
    /** Adds `count` starts at the instant, and removes starts that no window of the rate reaches. */
    add(task: string, rate: Rate, count: number, at: number): void {
      hasChanged = true
      const before = byTask.get(task) ?? []
      const instant = startInstant(at, rate)
      const kept = before.filter((start) => start.at > at - rate.perMs)
      if (kept.length < before.length) removeUntil.run(task, at - rate.perMs)
      insert.run(task, instant, count)
      const same = kept.find((start) => start.at === instant)
      const starts = [...kept.filter((start) => start !== same), { at: instant, count: count + (same?.count ?? 0) }]
      byTask.set(
        task,
        starts.toSorted((one, other) => one.at - other.at),
      )
    },
    /** Call when the clock was set by this much: windows keep their length. */
    shift: (byMs: number) => move((at) => at + byMs),
    /** Call on opening, in case the clock was set back: no start stays in the future. */
    bound: (now: number) => move((at) => (at <= now - rateBounds.perMs.max ? null : Math.min(at, now))),
    afterCommit() {
      hasChanged = false
    },
    afterRollback() {
      if (hasChanged) byTask = read()
      hasChanged = false
    },
  }
}

export function createPausedTasks(database: DatabaseSync) {
  const select = database.prepare('SELECT task FROM paused_task ORDER BY task')
  const insert = database.prepare('INSERT OR IGNORE INTO paused_task (task) VALUES (?)')
  const remove = database.prepare('DELETE FROM paused_task WHERE task = ?')
  const read = (): Set<string> => new Set(select.all().map(({ task }) => String(task)))
  let paused = read()
  let hasChanged = false

  return {
    all: () => [...paused],
    has: (task: string) => paused.has(task),
    set(task: string, isPaused: boolean): void {
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
    afterCommit() {
      hasChanged = false
    },
    afterRollback() {
      if (hasChanged) paused = read()
      hasChanged = false
    },
  }
}
