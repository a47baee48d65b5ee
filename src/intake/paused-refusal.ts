/** Refuses a run whose caller would wait for a paused task, unless an earlier request with the same key has made one. */
import type { Clock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { NewRun } from '../domain/run/new-run.ts'
import type { Store } from '../store/store.ts'

export interface PausedRefusalOptions {
  readonly store: Pick<Store, 'pausedTasks' | 'findKey'>
  readonly clock: Clock
}

/** @returns a function that throws AppError `task-paused` */
export function createPausedRefusal({ store, clock }: PausedRefusalOptions): (run: NewRun) => Promise<void> {
  return async ({ jobs: [first], respond, idempotency }) => {
    if (first === undefined || respond === 'none' || !store.pausedTasks().has(first.task)) return
    const known = idempotency && (await store.findKey(idempotency, clock.now()))
    if (known === null) throw new AppError('task-paused', `the task ${first.task} is paused: its jobs do not start now`)
  }
}
