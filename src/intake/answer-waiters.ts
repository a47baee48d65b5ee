/** Who waits for the answer of which run, and what ends the wait: the answer, time, or the service leaving. */
import { AppError } from '../domain/errors.ts'
import type { Feed } from '../feed/feed.ts'

export interface Wait {
  /** Resolves when the answer is decided or nobody is to wait any longer. @throws AppError `store-unavailable` */
  readonly ended: Promise<void>
  leave(): void
}

type Waiter = PromiseWithResolvers<void>

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
     * Enters before the run is accepted, or before it is read, so that no change can be missed.
     * @param limitMs null: as long as it takes
     */
    enter(runId: string, limitMs: number | null): Wait {
      const waiter = Promise.withResolvers<void>()
      // Who has left by then does not hear of it.
      waiter.promise.catch(() => {})
      const remove = add(runId, waiter)
      const unsubscribe = subscribe(runId, ({ isAnswered }) => {
        if (isAnswered) waiter.resolve()
      })
      const timer = limitMs === null ? undefined : setTimeout(waiter.resolve, limitMs)
      if (isDismissed) waiter.resolve()
      return {
        ended: waiter.promise,
        leave() {
          clearTimeout(timer)
          unsubscribe()
          remove()
        },
      }
    },
    /** Whether somebody waits for this run's answer. */
    isWaitedFor: (runId: string): boolean => waiting.has(runId),
    /** The store could not commit an outcome of this run: whoever waits for its answer hears of that. */
    failUncommitted(runId: string, cause: unknown): void {
      const detail = 'the run is accepted; its answer could not be committed yet'
      const error = new AppError('store-unavailable', detail, { cause, members: { runId } })
      for (const { reject } of waiting.get(runId) ?? []) reject(error)
    },
    /** Ends every wait; those that come later end at once. */
    dismiss(): void {
      isDismissed = true
      for (const ofRun of waiting.values()) for (const { resolve } of ofRun) resolve()
    },
  }
}
