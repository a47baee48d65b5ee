/**
 * The store's verbs over one run. Each checks whether it applies, changes the run by `transitions.ts`, and returns the
 * reply. A verb is repeated when it is unknown whether its commit took place. If it did, a repeated `complete`, `fail` or
 * `release` returns the same reply and changes nothing; an engine that repeats `cancel` or `retry` corrects the reply, and
 * readers leave out a repeated step. The effects of a change, void claims and a delivery, are derived here too.
 */
import { maxSteps, type Claim, type Step, type StepReport } from '../claim.ts'
import { isFinalJob, type JobError, type JobState } from '../job.ts'
import type { NewDelivery, RunChange } from '../run.ts'
import { failedDependency, jobAt, type Run } from './aggregate.ts'
import {
  addStep,
  cancelJobs,
  completeJob,
  failJob,
  isSettledBy,
  ownsClaim,
  releaseJob,
  retryJob,
  type SettlingVerb,
} from './transitions.ts'

/** `stale`: the claim is void, and nothing was written. */
export type SettleResult = 'settled' | 'stale'

/**
 * `queued`: the job waits again, with fresh attempts. `not-final`, `was-completed`: there is nothing to retry.
 * `cannot-start`: a job that it depends on has no result and must be retried first. `was-refused`: its request was
 * invalid.
 */
export type RetryResult = 'queued' | 'not-final' | 'was-completed' | 'cannot-start' | 'was-refused' | 'not-found'

/** `was-…`: there was nothing left to cancel. */
export type CancelResult = 'cancelled' | 'was-cancelled' | 'was-final' | 'not-found'

export interface VerbResult<Value> {
  /** The run after the verb, the same object where nothing changed; null: there is no such run. */
  readonly run: Run | null
  readonly value: Value
}

export function complete(run: Run | null, claim: Claim, result: string, at: number): VerbResult<SettleResult> {
  return settle('complete', run, claim, (owned) => completeJob(owned, claim, result, at))
}

export function fail(
  run: Run | null,
  claim: Claim,
  error: JobError,
  retryAt: number | null,
  at: number,
): VerbResult<SettleResult> {
  return settle('fail', run, claim, (owned) => failJob(owned, claim, error, retryAt, at))
}

export function release(run: Run | null, claim: Claim, at: number): VerbResult<SettleResult> {
  return settle('release', run, claim, (owned) => releaseJob(owned, claim, at))
}

/** Counts a step. The caller stores the step itself when the result is `kept`. */
export function keepStep(run: Run | null, claim: Claim, { value }: Step): VerbResult<StepReport> {
  if (run === null || !ownsClaim(run, claim)) return { run, value: 'stale' }
  if ((jobAt(run, claim.jobIndex).steps?.count ?? 0) >= maxSteps) return { run, value: 'full' }
  return { run: addStep(run, claim, Buffer.byteLength(value)), value: 'kept' }
}

/** Rejects late outcomes: nothing changes under a void claim. */
function settle(
  verb: SettlingVerb,
  run: Run | null,
  claim: Claim,
  change: (run: Run) => Run,
): VerbResult<SettleResult> {
  if (run === null) return { run, value: 'stale' }
  if (ownsClaim(run, claim)) return { run: change(run), value: 'settled' }
  return { run, value: isSettledBy(verb, run, claim) ? 'settled' : 'stale' }
}

/** @param jobIndex null: all jobs that are not final */
export function cancel(run: Run | null, jobIndex: number | null, at: number): VerbResult<CancelResult> {
  if (run === null) return { run, value: 'not-found' }
  const states = run.jobs.map(({ state }) => state)
  const named = jobIndex === null ? states : states.slice(jobIndex, jobIndex + 1)
  return { run: cancelJobs(run, jobIndex, at), value: cancelResultOf(named) }
}

export function retry(run: Run | null, jobIndex: number, at: number): VerbResult<RetryResult> {
  if (run === null || run.jobs[jobIndex] === undefined) return { run, value: 'not-found' }
  const { state, chain, maxAttempts } = jobAt(run, jobIndex)
  // Only the job of an invalid request has no attempts.
  if (maxAttempts === 0) return { run, value: 'was-refused' }
  if (state === 'completed') return { run, value: 'was-completed' }
  if (!isFinalJob(state)) return { run, value: 'not-final' }
  if (chain !== null && failedDependency(run, chain) !== null) return { run, value: 'cannot-start' }
  return { run: retryJob(run, jobIndex, at), value: 'queued' }
}

/** Claims that a change cancelled while they were running. */
function voidedClaims(before: Run, after: Run): Claim[] {
  if (before.counts.cancelled === after.counts.cancelled) return []
  return after.jobs.flatMap(({ state, claim }, jobIndex) =>
    state === 'cancelled' && before.jobs[jobIndex]?.state === 'running' ? [{ runId: after.id, jobIndex, claim }] : [],
  )
}

/** @param states of the jobs that were named, before the cancel */
export function cancelResultOf(states: readonly JobState[]): CancelResult {
  if (states.length === 0) return 'not-found'
  if (!states.every(isFinalJob)) return 'cancelled'
  // As for a run: one with a failed job has failed, even if other jobs were cancelled.
  return states.includes('cancelled') && !states.includes('failed') ? 'was-cancelled' : 'was-final'
}

/** The delivery that a change makes due because it ends the run; null: none. */
export function deliveryOfEnd(before: Run, after: Run): NewDelivery | null {
  const { id: runId, webhook, version, state: outcome, finishedAt } = after
  if (webhook === null || outcome === 'running' || before.state !== 'running') return null
  // A finished run has the instant of its end, and its webhook was checked when it was accepted.
  return { runId, version, receiver: URL.parse(webhook)?.origin ?? '', outcome, endedAt: finishedAt ?? 0 }
}

/**
 * The change of a run that listeners get.
 * @param earlier another change of the run in the same transaction, which is merged into it
 */
export function changeOf(before: Run, after: Run, earlier?: RunChange): RunChange {
  const { id: runId, version, state, answer } = after
  const voided = [...(earlier?.voided ?? []), ...voidedClaims(before, after)]
  const isDeliveryDue = earlier?.isDeliveryDue === true || deliveryOfEnd(before, after) !== null
  return { runId, version, state, isAnswered: answer !== null, voided, ...(isDeliveryDue && { isDeliveryDue }) }
}
