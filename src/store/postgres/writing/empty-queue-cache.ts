/**
 * Remembers for each kind of task that no job is due in the database. Then a new job can be claimed in the commit that
 * accepts it, and a claim needs no query. Anything that may queue a job, here or in another process, clears the memory.
 */
import type { TaskKind } from '../../../domain/task.ts'
import { taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../store.ts'

export interface EmptyQueueCache {
  /** When the next known job of this kind is due; null: none waits; undefined: one may be due now. */
  nextDueAt(kind: TaskKind, request: Pick<ClaimRequest, 'taskLimits' | 'at'>): number | null | undefined
  /** Jobs may have been queued. */
  forget(kinds?: readonly TaskKind[]): void
  /** Call before a claim is sent, and the result with what the claim found; a job queued in between voids the finding. */
  look(): (kind: TaskKind, nextDueAt: number | null, atLimit: readonly string[]) => void
}

interface Known {
  readonly nextDueAt: number | null
  /** Jobs of these tasks may be due: their tasks had reached their limits. */
  readonly atLimit: readonly string[]
}

export function createEmptyQueueCache(): EmptyQueueCache {
  const known = new Map<TaskKind, Known>()
  const changes = new Map<TaskKind, number>()

  return {
    nextDueAt(kind, { taskLimits, at }) {
      const found = known.get(kind)
      if (found === undefined || (found.nextDueAt !== null && found.nextDueAt <= at)) return undefined
      const limits = new Map(Object.entries(taskLimits))
      return found.atLimit.every((task) => (limits.get(task) ?? 1) <= 0) ? found.nextDueAt : undefined
    },
    forget(kinds = taskKinds) {
      for (const kind of kinds) {
        known.delete(kind)
        changes.set(kind, (changes.get(kind) ?? 0) + 1)
      }
    },
    look() {
      const before = new Map(changes)
      return (kind, nextDueAt, atLimit) => {
        if (before.get(kind) === changes.get(kind)) known.set(kind, { nextDueAt, atLimit })
      }
    },
  }
}
