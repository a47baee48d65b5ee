/**
 * The store's verbs over one run: each checks whether it applies, changes the run by `transitions.ts`, and returns the
 * reply. A verb is repeated when it is unknown whether its commit took place; if it did, the repeat returns the same
 * reply and changes nothing. What else a change brings about, void claims and a delivery, is found here too.
 */
import { maxSteps, type Claim, type Step, type StepReport } from '../claim.ts'
import { isFinalJob, type JobError, type JobState } from '../job.ts'
import type { RunChange, RunState } from '../run.ts'
import { failedDependency, jobAt, type Run } from './aggregate.ts'
import { addStep, cancelJobs, completeJob, failJob, ownsClaim, releaseJob, repeats, retryJob } from './transitions.ts'

/** `stale`: the claim is void (settled otherwise, cancelled or claimed again), and nothing was written. */
export type Settled = 'settled' | 'stale'

/**
 * `queued`: it waits again with fresh attempts; `not-final`, `was-completed`: there is nothing to retry; `cannot-start`:
 * a job that it waits for has ended without a result, and has to be retried first; `was-refused`: its request was not valid.
 */
export type RetryResult = 'queued' | 'not-final' | 'was-completed' | 'cannot-start' | 'was-refused' | 'not-found'

/** `cancelled`: takes effect now; `was-…`: there was nothing left to cancel. */
export type CancelResult = 'cancelled' | 'was-cancelled' | 'was-final' | 'not-found'

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

/** States of the jobs that a request names, none where the run has no such job. */
export function statesOf({ jobs }: Run, jobIndex: number | null): JobState[] {
  return jobs.flatMap(({ state }, index) => (jobIndex === null || index === jobIndex ? [state] : []))
}

/** The reply to a cancel of jobs that were in these states. */
export function cancelResultOf(states: readonly JobState[]): CancelResult {
  if (states.length === 0) return 'not-found'
  if (!states.every(isFinalJob)) return 'cancelled'
  // By the run's own state: a failed run failed before it could be cancelled.
  return states.includes('cancelled') && !states.includes('failed') ? 'was-cancelled' : 'was-final'
}

/** A delivery when its run ends. */
export interface NewDelivery {
  readonly runId: string
  readonly version: number
  /** Where the webhook's address is: receivers share no room. */
  readonly receiver: string
  readonly outcome: RunState
  readonly endedAt: number
}

/** One that a process has taken to send it. */
export interface ClaimedDelivery extends NewDelivery {
  readonly attempts: number
}

/** The delivery that is due because a change has ended the run; null where there is none. */
export function deliveryOfEnd(before: Run, after: Run): NewDelivery | null {
  const { id: runId, webhook, version, state: outcome, finishedAt } = after
  if (webhook === null || outcome === 'running' || before.state !== 'running') return null
  return { runId, version, receiver: URL.parse(webhook)?.origin ?? '', outcome, endedAt: finishedAt ?? 0 }
}

/**
 * What others hear of a change.
 * @param earlier of the run, in the same transaction: they hear of both as one
 */
export function changeOf(before: Run, after: Run, earlier?: RunChange): RunChange {
  const { id: runId, version, state, answer } = after
  const voided = [...(earlier?.voided ?? []), ...voidedClaims(before, after)]
  const isDeliveryDue = earlier?.isDeliveryDue === true || deliveryOfEnd(before, after) !== null
  return { runId, version, state, isAnswered: answer !== null, voided, ...(isDeliveryDue && { isDeliveryDue }) }
}
