/**
 * What this process knows of the jobs that wait in the database, which is that of some kind none is due: then a new job
 * may be claimed as it is born, and a claim need not look. Whatever may have left a job there ends that knowledge.
 */
import type { TaskKind } from '../../../domain/task.ts'
import { taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../store.ts'

export interface Waiting {
  /** When the next job of this kind is due of which is known; null: none waits; undefined: one may be due. */
  nextDueAt(kind: TaskKind, request: Pick<ClaimRequest, 'taskLimits' | 'at'>): number | null | undefined
  /** Jobs may wait that did not before. */
  forget(kinds?: readonly TaskKind[]): void
  /** To be called before a claim is sent, with what it finds: it may be told of something else meanwhile. */
  look(): (kind: TaskKind, nextDueAt: number | null, atLimit: readonly string[]) => void
}

interface Known {
  readonly nextDueAt: number | null
  /** Jobs of these tasks may be due: they could not be taken, for so many ran. */
  readonly atLimit: readonly string[]
}

export function createWaiting(): Waiting {
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
