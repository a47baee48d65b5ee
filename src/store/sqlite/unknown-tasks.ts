/**
 * Live jobs of tasks that this process does not have: they wait for a version that has them. Their kind is marked, so
 * that a claim, which asks for kinds, never comes across them, however many they are.
 */
import type { DatabaseSync } from 'node:sqlite'
import { taskKinds } from '../../domain/task.ts'

export interface UnknownTasks {
  /** The kind of a job that is to be queued, marked where its task is unknown. */
  kindOf(task: string, kind: string): string
  /** Waiting jobs of unknown tasks, by task. */
  counts(): Readonly<Record<string, number>>
  /** Some of them may have begun or ended to wait. */
  forget(): void
}

const mark = 'unknown-'
export const markedKinds = taskKinds.map((kind) => `${mark}${kind}`)

/** Marks the live jobs as they are to be. @param tasks null: any is known */
export function createUnknownTasks(database: DatabaseSync, tasks: readonly string[] | null): UnknownTasks {
  const known = tasks === null ? null : new Set(tasks)
  const selectTasks = database.prepare(
    'SELECT DISTINCT task, kind FROM job WHERE run_at IS NOT NULL OR owner IS NOT NULL',
  )
  const updateKind = database.prepare(
    'UPDATE job SET kind = ? WHERE task = ? AND kind = ? AND (run_at IS NOT NULL OR owner IS NOT NULL)',
  )
  const selectCounts = database.prepare(
    'SELECT task, count(*) AS jobs FROM job WHERE kind = ? AND run_at IS NOT NULL GROUP BY task',
  )
  let counts: Record<string, number> | null = null

  function kindOf(task: string, kind: string): string {
    const plain = kind.startsWith(mark) ? kind.slice(mark.length) : kind
    if (known === null || known.has(task)) return plain
    counts = null
    return `${mark}${plain}`
  }

  database.exec('BEGIN IMMEDIATE')
  for (const row of selectTasks.all()) {
    const [task, kind] = [String(row['task']), String(row['kind'])]
    const right = kindOf(task, kind)
    if (right !== kind) updateKind.run(right, task, kind)
  }
  database.exec('COMMIT')

  return {
    kindOf,
    counts() {
      if (counts === null) {
        counts = {}
        for (const kind of markedKinds) {
          for (const { task, jobs } of selectCounts.all(kind)) {
            counts[String(task)] = (counts[String(task)] ?? 0) + Number(jobs)
          }
        }
      }
      return counts
    },
    forget() {
      counts = null
    },
  }
}
