/**
 * First jobs share the language with the service: what one changes of it is put back when it has given the thread back,
 * and its task runs in the pool from then on.
 */
import type { Log } from '../../log.ts'
import { watchIntrinsics, type Intrinsics } from '../intrinsics.ts'
import type { Task } from '../../tasks/task-module.ts'

/** A job of which code may have run since the last look. */
export interface Suspect {
  readonly task: Task
}

export interface RealmGuardOptions {
  /** Called with a task that has changed something. */
  readonly onGuilty: (task: Task) => void
  readonly log: Log
}

/** While a task is new, it is looked at more often, and getters are looked at too. */
const fullLooks = 60

export type RealmGuard = ReturnType<typeof createRealmGuard>

export function createRealmGuard({ onGuilty, log }: RealmGuardOptions) {
  let intrinsics: Intrinsics = watchIntrinsics()
  // Not a Map: what it does may be what was changed.
  const looks = Object.create(null) as Record<string, number>

  function isNew({ name }: Task): boolean {
    const count = looks[name] ?? 0
    if (count < fullLooks) looks[name] = count + 1
    return count < fullLooks
  }

  function putBack(changed: string, suspects: readonly Suspect[]): void {
    const left = intrinsics.restore()
    // Otherwise what cannot be put back would be found again at each look.
    if (left.length > 0) intrinsics = watchIntrinsics()
    const names = [...new Set(suspects.map(({ task }) => task.name))]
    const only = names.length === 1 ? suspects[0]?.task : undefined
    if (only !== undefined) onGuilty(only)
    const what = only === undefined ? 'a first job' : `the task ${only.name}`
    const then = only === undefined ? 'it was put back' : 'its first jobs run in the pool now'
    if (left.length === 0)
      log.warn({ tasks: names, changed }, `${what} changed ${changed} for the whole process: ${then}`)
    else
      log.error(
        { tasks: names, changed, left },
        `${what} changed ${changed} for the whole process, for good: start it again`,
      )
  }

  function act(changed: string | null, suspects: readonly Suspect[]): void {
    if (changed === null) return
    if (suspects.length === 0) intrinsics = watchIntrinsics()
    else putBack(changed, suspects)
  }

  return {
    /** Puts back what has changed since the last look; without a suspect, no first job has changed it, and it stays. */
    look(suspects: readonly Suspect[]): void {
      const only = suspects.length === 1 ? suspects[0] : undefined
      const isFull = only !== undefined && isNew(only.task)
      act(isFull ? intrinsics.findChanged() : intrinsics.findReplaced(), suspects)
    },
    /** For a job that has only given the thread back: looks as long as its task is new here. */
    lookEarly(suspect: Suspect): void {
      if (isNew(suspect.task)) act(intrinsics.findChanged(), [suspect])
    },
  }
}
