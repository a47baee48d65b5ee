/**
 * The store's verbs over one run: each checks whether it applies, changes the run by `transitions.ts`, and returns the
 * reply. A verb is repeated when it is unknown whether its commit took place; if it did, the repeat returns the same
 * reply and changes nothing.
 */
import type { Claim } from '../claim.ts'
import { isFinalJob, type JobError } from '../job.ts'
import { maxSteps, type Step, type StepReport } from '../step.ts'
import { jobAt, type Run } from './aggregate.ts'
import { lostOf } from './chains.ts'
import {
  addStep,
  cancelJobs,
  cancelResultOf,
  completeJob,
  failJob,
  ownsClaim,
  releaseJob,
  repeats,
  retryJob,
  statesOf,
  type CancelResult,
} from './transitions.ts'

/** `stale`: the claim is void (settled otherwise, cancelled or claimed again), and nothing was written. */
export type Settled = 'settled' | 'stale'

/**
 * `queued`: it waits again with fresh attempts; `not-final`, `was-completed`: there is nothing to retry; `cannot-start`:
 * a job that it waits for has ended without a result, and has to be retried first; `was-refused`: its request was not valid.
 */
export type RetryResult = 'queued' | 'not-final' | 'was-completed' | 'cannot-start' | 'was-refused' | 'not-found'

/** The run after a verb, the same one where nothing changed; null where there is none. */
export interface Done<Value> {
  readonly run: Run | null
  readonly value: Value
}

export function complete(run: Run | null, claim: Claim, result: string, at: number): Done<Settled> {
  return settle(run, claim, 'complete', (owned) => completeJob(owned, claim, result, at))
}

export function fail(
  run: Run | null,
  claim: Claim,
  error: JobError,
  retryAt: number | null,
  at: number,
): Done<Settled> {
  return settle(run, claim, 'fail', (owned) => failJob(owned, claim, error, retryAt, at))
}

export function release(run: Run | null, claim: Claim, at: number): Done<Settled> {
  return settle(run, claim, 'release', (owned) => releaseJob(owned, claim, at))
}

/** The caller stores the step itself where it is `kept`. */
export function keepStep(run: Run | null, claim: Claim, { value }: Step): Done<StepReport> {
  if (run === null || !ownsClaim(run, claim)) return { run, value: 'stale' }
  if ((jobAt(run, claim.jobIndex).steps?.count ?? 0) >= maxSteps) return { run, value: 'full' }
  return { run: addStep(run, claim, Buffer.byteLength(value)), value: 'kept' }
}

/** Changes nothing under a void claim: here a late outcome is rejected. */
function settle(
  run: Run | null,
  claim: Claim,
  asked: 'complete' | 'fail' | 'release',
  change: (run: Run) => Run,
): Done<Settled> {
  if (run === null) return { run, value: 'stale' }
  if (ownsClaim(run, claim)) return { run: change(run), value: 'settled' }
  return { run, value: repeats(run, claim, asked) ? 'settled' : 'stale' }
}

export function cancel(run: Run | null, jobIndex: number | null, at: number): Done<CancelResult> {
  if (run === null) return { run, value: 'not-found' }
  return { run: cancelJobs(run, jobIndex, at), value: cancelResultOf(statesOf(run, jobIndex)) }
}

export function retry(run: Run | null, jobIndex: number, at: number): Done<RetryResult> {
  if (run === null || run.jobs[jobIndex] === undefined) return { run, value: 'not-found' }
  const { state, chain, maxAttempts } = jobAt(run, jobIndex)
  if (maxAttempts === 0) return { run, value: 'was-refused' }
  if (state === 'completed') return { run, value: 'was-completed' }
  if (!isFinalJob(state)) return { run, value: 'not-final' }
  if (chain !== null && lostOf(run, chain) !== null) return { run, value: 'cannot-start' }
  return { run: retryJob(run, jobIndex, at), value: 'queued' }
}
