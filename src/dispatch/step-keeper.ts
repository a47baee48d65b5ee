/**
 * Keeps the steps of attempts in the store. A step whose work is done must not be lost for a moment in which nothing can
 * be committed: it is tried again, as an outcome is, and its task waits meanwhile.
 */
import { claimOf, type StepKeeper } from '../domain/claim.ts'
import type { Clock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { pauseAfter } from './pause-after.ts'

export interface StepKeeperOptions {
  readonly store: Pick<Store, 'keepStep' | 'stepsOf'>
  readonly clock: Clock
  readonly log: Log
}

export function createStepKeeper({ store, clock, log }: StepKeeperOptions): StepKeeper & { stop(): void } {
  const stopping = new AbortController()
  const { signal } = stopping

  async function persist<Value>(fields: object, ask: () => Promise<Value>): Promise<Value> {
    for (let failures = 1; !signal.aborted; failures += 1) {
      try {
        return await ask()
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'store-unavailable') throw error
        log.error({ ...fields, err: error }, 'a step could not be committed or read; trying again')
        await pauseAfter(failures, signal)
      }
    }
    throw new Error('the service stopped before the step was committed or read')
  }

  return {
    keep({ runId, jobIndex, claim }, step) {
      const fields = { runId, jobIndex, step: step.name }
      return persist(fields, () => store.keepStep(claimOf({ runId, jobIndex, claim }), step, clock.now()))
    },
    stored: ({ runId, jobIndex, claim }, from) =>
      persist({ runId, jobIndex }, () => store.stepsOf(claimOf({ runId, jobIndex, claim }), from)),
    stop: () => stopping.abort(),
  }
}
