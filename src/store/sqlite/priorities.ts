/**
 * Which priorities the live jobs of each kind have, highest first, so that a claim asks for those and not for all ten.
 * It only grows: one that nobody uses any more costs an empty look-up.
 */
import type { DatabaseSync } from 'node:sqlite'
import { taskKinds } from '../../domain/task.ts'
import { markedKinds } from './unknown-tasks.ts'

export interface Priorities {
  /** @param kind also a marked one */
  of(kind: string): readonly number[]
  add(kind: string, priority: number): void
}

export function createPriorities(database: DatabaseSync): Priorities {
  const used = new Map<string, number[]>()
  const select = database.prepare(`
    SELECT DISTINCT priority FROM job WHERE kind = ?1 AND run_at IS NOT NULL
    UNION SELECT priority FROM job WHERE kind = ?1 AND owner IS NOT NULL
    ORDER BY priority DESC`)
  for (const kind of [...taskKinds, ...markedKinds]) {
    used.set(
      kind,
      select.all(kind).map(({ priority }) => Number(priority)),
    )
  }

  const of = (kind: string): number[] => used.get(kind) ?? []
  return {
    of,
    add(kind, priority) {
      const known = of(kind)
      if (known.includes(priority)) return
      used.set(
        kind,
        [...known, priority].toSorted((one, other) => other - one),
      )
    },
  }
}
