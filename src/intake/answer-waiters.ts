/** Waits for the answer of a run. A wait ends by the answer, by a time limit, or when the service leaves; requests can join. */
import { AppError } from '../domain/errors.ts'
import type { AsCommitted, RunRecord } from '../domain/run.ts'
import { asksForAnswer } from '../domain/run/new-run.ts'
import type { Feed } from '../feed/feed.ts'
import type { KnownKey, Store } from '../store/store.ts'

export interface Wait {
  /**
   * Resolves when the answer is decided, to a function that returns the run as that commit left it. Resolves to undefined if
   * the store has no such function, and when the time is up or the service leaves.
   * @throws AppError `store-unavailable`
   */
  readonly ended: Promise<AsCommitted | undefined>
  leave(): void
}

type Waiter = PromiseWithResolvers<AsCommitted | undefined>

export type AnswerWaiters = ReturnType<typeof createAnswerWaiters>

export function createAnswerWaiters({ subscribe }: Pick<Feed, 'subscribe'>) {
  const waiting = new Map<string, Set<Waiter>>()
  let isDismissed = false

  function add(runId: string, waiter: Waiter): () => void {
    const ofRun = waiting.get(runId) ?? new Set()
    waiting.set(runId, ofRun.add(waiter))
    return () => {
      ofRun.delete(waiter)
      if (ofRun.size === 0) waiting.delete(runId)
    }
  }

  return {
    /**
     * Starts a wait. Call it before the run is accepted or read, so that no change is missed.
     * @param limitMs null: without limit
     */
    enter(runId: string, limitMs: number | null): Wait {
      const waiter = Promise.withResolvers<AsCommitted | undefined>()
      // After its caller has left, nobody handles the rejection.
      waiter.promise.catch(() => {})
      const remove = add(runId, waiter)
      const unsubscribe = subscribe(runId, ({ isAnswered }, asCommitted) => {
        if (isAnswered) waiter.resolve(asCommitted)
      })
      const timer = limitMs === null ? undefined : setTimeout(waiter.resolve, limitMs, undefined)
      if (isDismissed) waiter.resolve(undefined)
      return {
        ended: waiter.promise,
        leave() {
          clearTimeout(timer)
          unsubscribe()
          remove()
        },
      }
    },
    /** Whether a caller waits for this run's answer. */
    isWaitedFor: (runId: string): boolean => waiting.has(runId),
    /** Rejects the waits for this run's answer, because the store could not commit an outcome. */
    failUncommitted(runId: string, cause: unknown): void {
      const detail = 'the run is accepted; its answer could not be committed yet'
      const error = new AppError('store-unavailable', detail, { cause, members: { runId } })
      for (const { reject } of waiting.get(runId) ?? []) reject(error)
    },
    /** Ends every wait; later ones end at once. */
    dismiss(): void {
      isDismissed = true
      for (const ofRun of waiting.values()) for (const { resolve } of ofRun) resolve(undefined)
    },
  }
}

type EarlierRun = Extract<KnownKey, { readonly result: 'replayed' }>

export function createReplay(store: Store, answerWaiters: AnswerWaiters) {
  /**
   * Reads the run. Waits for its answer with a limit above 0; without a limit too, unless the first response left before it.
   * @returns null: the run was removed
   * @throws AppError `idempotency-in-progress` while the first request waits here, unless this one has a limit above 0
   */
  return async ({ runId, isDeferred }: EarlierRun, waitMs: number | null): Promise<RunRecord | null> => {
    // Before `enter`, which would add this request.
    const isBeingAnswered = answerWaiters.isWaitedFor(runId)
    const wait = answerWaiters.enter(runId, waitMs)
    try {
      const run = await readAccepted(store, runId)
      if (run === null || run.answer !== null || !asksForAnswer(run)) return run
      const joins = waitMs !== null && waitMs > 0
      if (isDeferred && !joins) return run
      if (isBeingAnswered && !joins) {
        const detail = 'the first request with this Idempotency-Key is still being answered'
        throw new AppError('idempotency-in-progress', detail, { members: { runId } })
      }
      if (waitMs === 0) return run
      // Without a limit it waits if the first request does not wait in this process: the process of that one may have died.
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
export function noteDeferred(store: Store, runId: string): Promise<void> {
  return store.defer(runId).catch((cause: unknown) => {
    throw unavailable(runId, 'has no answer yet, which could not be noted', cause)
  })
}

function unavailable(runId: string, what: string, cause: unknown): AppError {
  return new AppError('store-unavailable', `the run is accepted and ${what}`, { cause, members: { runId } })
}
