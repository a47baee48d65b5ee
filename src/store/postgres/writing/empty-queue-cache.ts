/**
 * Remembers for each kind that no job of it is due in the database: then a new job may be claimed as it is accepted, and a
 * claim need not query the queue. Whatever may have queued a job, here or in another process, makes it forget.
 */
import type { TaskKind } from '../../../domain/task.ts'
import { taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../store.ts'

export interface EmptyQueueCache {
  /** When the next known job of this kind is due; null: none waits; undefined: one may be due now. */
  nextDueAt(kind: TaskKind, request: Pick<ClaimRequest, 'taskLimits' | 'at'>): number | null | undefined
  /** Jobs may wait that did not before. */
  forget(kinds?: readonly TaskKind[]): void
  /** Call before a claim is sent; call the result with what the claim found. What came to wait meanwhile voids that. */
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
