/** What a request is answered with that an earlier one has made already: the same run, as it is by now. */
import { AppError } from '../domain/errors.ts'
import type { RunRecord } from '../domain/run.ts'
import type { Store } from '../store/store.ts'
import type { AnswerWaiters } from './answer-waiters.ts'

export interface ReplayOptions {
  readonly store: Store
  readonly answerWaiters: AnswerWaiters
}

export interface Known {
  readonly runId: string
  /** Whether the first request was replied to before there was an answer. */
  readonly isDeferred: boolean
}

/**
 * @returns the run, with its answer where there is one or the caller waits for it and it will have one; null when it is gone
 * @throws AppError `idempotency-in-progress` while the first request is being answered and this one would not wait
 */
export type Replay = (known: Known, waitMs: number | null) => Promise<RunRecord | null>

export function createReplay({ store, answerWaiters }: ReplayOptions): Replay {
  return async ({ runId, isDeferred }, waitMs) => {
    const isBeingAnswered = answerWaiters.isWaitedFor(runId)
    const wait = answerWaiters.enter(runId, waitMs)
    try {
      const run = await readAccepted(store, runId)
      if (run === null || run.answer !== null || run.respond === 'none') return run
      const joins = waitMs !== null && waitMs > 0
      // Who joins it waits too, and does not take an early reply back.
      if (isBeingAnswered && !isDeferred && !joins) {
        const detail = 'the first request with this Idempotency-Key is still being answered'
        throw new AppError('idempotency-in-progress', detail, { members: { runId } })
      }
      if ((isDeferred && !joins) || waitMs === 0) return run
      // Where the first request ended with its process, this one takes its place.
      await wait.ended
      return await readAccepted(store, runId)
    } finally {
      wait.leave()
    }
  }
}

/** @throws AppError `store-unavailable` with the run's id */
export function readAccepted(store: Store, runId: string): Promise<RunRecord | null> {
  return store.getRun(runId).catch((cause: unknown) => {
    throw unavailable(runId, 'cannot be read now', cause)
  })
}

/** @throws AppError `store-unavailable` with the run's id */
export function deferAccepted(store: Store, runId: string): Promise<void> {
  return store.defer(runId).catch((cause: unknown) => {
    throw unavailable(runId, 'has no answer yet, which could not be noted', cause)
  })
}

function unavailable(runId: string, what: string, cause: unknown): AppError {
  return new AppError('store-unavailable', `the run is accepted and ${what}`, { cause, members: { runId } })
}
