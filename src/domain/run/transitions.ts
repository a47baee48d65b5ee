/**
 * Transitions of a run and its jobs, as pure functions. They do not check permission: `verbs.ts` calls `ownsClaim` before
 * it settles a job. A function that changes nothing returns the run it was given, so `===` shows whether there is
 * something to save.
 */
import type { Claim, ClaimedJob } from '../claim.ts'
import {
  isFinalJob,
  maxLeftStarts,
  maxLostStarts,
  maxRetryDelayMs,
  moveJob,
  soonAfterStartMs,
  type JobError,
} from '../job.ts'
import {
  advanceChains,
  changeJob,
  isAwaited,
  type Job,
  jobAt,
  type JobChange,
  missingOf,
  type Run,
} from './aggregate.ts'

/** A job to claim, and its thread. */
export interface ClaimPick {
  readonly jobIndex: number
  readonly thread: string
}

/**
 * Claims waiting jobs of one run; the version grows once.
 * @param holder number of the process that claims them; null where no other process shares the store
 */
export function claimJobs(run: Run, picks: readonly ClaimPick[], at: number, holder: number | null = null): Run {
  const jobs = [...run.jobs]
  for (const { jobIndex, thread } of picks) {
    const job = jobAt(run, jobIndex)
    jobs[jobIndex] = {
      ...job,
      state: moveJob(job.state, 'running'),
      claim: job.claim + 1,
      attempt: job.attempt + 1,
      thread,
      holder,
      startedAt: at,
      runAt: null,
    }
  }
  return { ...run, version: run.version + 1, jobs }
}

/**
 * What a claim hands to the process that took it.
 * @param dueAt since when the job had been due
 * @param after results of the jobs that it has waited for
 */
export function claimedJob(
  run: Run,
  jobIndex: number,
  input: string | null,
  dueAt: number,
  at: number,
  after?: readonly string[],
): ClaimedJob {
  const job = jobAt(run, jobIndex)
  return {
    runId: run.id,
    jobIndex,
    claim: job.claim,
    task: job.task,
    kind: job.kind,
    input,
    thread: job.thread ?? '',
    timeoutMs: job.timeoutMs,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts,
    lostStarts: job.lostStarts,
    waitedMs: at - dueAt,
    ...(run.traceparent !== null && { traceparent: run.traceparent }),
    ...(after && { after }),
    ...(isAwaited(run, jobIndex) && { isAwaited: true }),
    ...(job.steps !== null && { steps: job.steps.count }),
  }
}

/** The fence: whether the job runs under the claim. No other claim may settle it. */
export function ownsClaim(run: Run, { jobIndex, claim }: Claim): boolean {
  const job = run.jobs[jobIndex]
  return job?.state === 'running' && job.claim === claim
}

/**
 * Whether the job has had this outcome under this claim before: after a commit whose reply was lost, its owner settles it
 * again. Only that owner makes a job `completed` or `retrying`. A rescue queues a job, too, and still counts as a release.
 */
export function repeats(run: Run, { jobIndex, claim }: Claim, asked: 'complete' | 'fail' | 'release'): boolean {
  const job = run.jobs[jobIndex]
  if (job?.claim !== claim) return false
  switch (asked) {
    case 'complete':
      return job.state === 'completed'
    case 'fail':
      // A job that has lost too many starts was not failed by its owner: a rescue did that, or a release.
      return job.state === 'retrying' || (job.state === 'failed' && job.lostStarts < maxLostStarts(job.maxAttempts))
    case 'release':
      return job.state === 'queued'
  }
}

export function completeJob(run: Run, { jobIndex }: Claim, result: string, at: number): Run {
  return advanceChains(changeJob(run, jobIndex, { to: 'completed', result }, at), at)
}

/** Retries on request can add failures without end; the latest are kept. */
const maxFailures = 100

/** @param retryAt null where the job fails for good */
export function failJob(run: Run, { jobIndex }: Claim, error: JobError, retryAt: number | null, at: number): Run {
  const job = jobAt(run, jobIndex)
  const failure = { attempt: job.attempt, startedAt: job.startedAt ?? at, finishedAt: at, error }
  const failures = [...job.failures, failure].slice(-maxFailures)
  if (retryAt !== null) return changeJob(run, jobIndex, { to: 'retrying', runAt: retryAt, failures }, at)
  return afterFailure(changeJob(run, jobIndex, { to: 'failed', error, failures }, at), jobIndex, at)
}

/** Counts a step that is stored with this change. */
export function addStep(run: Run, { jobIndex }: Claim, bytes: number): Run {
  const job = jobAt(run, jobIndex)
  const { count, bytes: before } = job.steps ?? { count: 0, bytes: 0 }
  const steps = { count: count + 1, bytes: before + bytes }
  return { ...run, version: run.version + 1, jobs: run.jobs.with(jobIndex, { ...job, steps }) }
}

/** Hands a job back unspent: it is due again at once. */
export function releaseJob(run: Run, { jobIndex }: Claim, at: number): Run {
  const job = jobAt(run, jobIndex)
  // A job whose start makes the process stop each time must not go on for ever.
  const left = leaving(job)
  if (left === 'too often') return loseStart(run, jobIndex, at)
  const lost = left === 'yes' && { lostStart: { startedAt: job.startedAt ?? at, takenBackAt: at } }
  return changeJob(run, jobIndex, { to: 'queued', attempt: job.attempt - 1, runAt: at, ...lost }, at)
}

/** Notes that the process was asked to leave: the running jobs named lose no start if it dies. No visible change. */
export function noteLeaving(run: Run, isHeld: (claim: Claim) => boolean, at: number): Run {
  const jobs = run.jobs.map((job, jobIndex) => {
    if (job.state !== 'running' || !isHeld({ runId: run.id, jobIndex, claim: job.claim })) return job
    // Already noted for this start.
    if (job.leftClaim === job.claim) return job
    const isSoon = (job.startedAt ?? at) > at - soonAfterStartMs
    return { ...job, leftClaim: job.claim, leftStarts: job.leftStarts + Number(isSoon) }
  })
  return { ...run, jobs }
}

const byRequest: JobChange = { to: 'cancelled', error: { code: 'cancelled', message: 'cancelled on request' } }
const byFirstFailure: JobChange = { to: 'cancelled', error: { code: 'cancelled', message: 'the first job failed' } }

/** @param jobIndex null for all jobs that are not final */
export function cancelJobs(run: Run, jobIndex: number | null, at: number): Run {
  return advanceChains(cancelOpen(run, jobIndex, byRequest, at), at)
}

/** Changes the other jobs when one fails for good. */
function afterFailure(failed: Run, failedIndex: number, at: number): Run {
  const run = advanceChains(failed, at)
  if (failedIndex !== 0 || run.onFirstFailure !== 'cancel') return run
  return cancelOpen(run, null, byFirstFailure, at)
}

function cancelOpen(run: Run, jobIndex: number | null, change: JobChange, at: number): Run {
  let changed = run
  for (const [index, job] of run.jobs.entries()) {
    const isNamed = jobIndex === null || jobIndex === index
    if (isNamed && !isFinalJob(job.state)) changed = changeJob(changed, index, change, at)
  }
  return changed
}

/** Queues a failed or cancelled job again with fresh attempts, and blocks those again that its end has cancelled. */
export function retryJob(run: Run, jobIndex: number, at: number): Run {
  const { chain, claim, expiry } = jobAt(run, jobIndex)
  const fresh = { attempt: 0, lostStarts: 0, leftStarts: 0, queuedAt: at, expiry: expiry && { ...expiry, claim } }
  const change: JobChange =
    chain === null || missingOf(run, chain).length === 0
      ? { to: 'queued', ...fresh, runAt: at }
      : { to: 'blocked', ...fresh, chain: { ...chain, cancelledBy: null } }
  return advanceChains(changeJob(run, jobIndex, change, at), at)
}

/** When a waiting job expires unless it starts before; null for one that may wait for ever, or has started before. */
export function expiresAt({ state, runAt, claim, expiry }: Job): number | null {
  if (expiry === null || runAt === null || state !== 'queued' || claim !== expiry.claim) return null
  return runAt + expiry.afterMs
}

/** Fails the jobs that were due for too long without a start. */
export function expireJobs(run: Run, at: number): Run {
  let changed = run
  for (const index of run.jobs.keys()) {
    // Read from the changed run: the failure of another job may have cancelled this one.
    const job = jobAt(changed, index)
    const expires = expiresAt(job)
    if (expires === null || expires > at) continue
    const message = `did not start within ${job.expiry?.afterMs} ms of being due`
    changed = afterFailure(
      changeJob(changed, index, { to: 'failed', error: { code: 'expired', message } }, at),
      index,
      at,
    )
  }
  return changed
}

/** Takes back the running jobs that a dead process held: no attempt is spent, a lost start is counted. */
export function rescueJobs(run: Run, isHeldByDead: (claim: Claim) => boolean, at: number): Run {
  let changed = run
  for (const index of run.jobs.keys()) {
    // Read from the changed run: the loss of the first job may have cancelled this one.
    const job = jobAt(changed, index)
    if (job.state !== 'running' || !isHeldByDead({ runId: run.id, jobIndex: index, claim: job.claim })) continue
    changed = loseStart(changed, index, at)
  }
  return changed
}

function loseStart(run: Run, index: number, at: number): Run {
  const changed = changeJob(run, index, lostStart(jobAt(run, index), at), at)
  return jobAt(changed, index).state === 'failed' ? afterFailure(changed, index, at) : changed
}

/** Whether the process was asked to leave during this start of the job. */
function leaving({ claim, leftClaim, leftStarts }: Job): 'no' | 'yes' | 'too often' {
  if (leftClaim !== claim) return 'no'
  return leftStarts > maxLeftStarts ? 'too often' : 'yes'
}

function lostStart(job: Job, at: number): JobChange {
  const left = leaving(job)
  // A start during which the process was asked to leave counts only where that has happened too often.
  const counts = left !== 'yes'
  const lostStarts = job.lostStarts + Number(counts)
  const lost = { startedAt: job.startedAt ?? at, takenBackAt: at }
  const unspent = { attempt: job.attempt - 1, lostStarts, lostStart: lost }
  if (lostStarts >= maxLostStarts(job.maxAttempts)) {
    const message =
      left === 'no'
        ? `the whole process died during ${lostStarts} starts of this job`
        : `the process was asked to stop soon after ${job.leftStarts} starts of this job`
    return { to: 'failed', ...unspent, error: { code: 'crashed', message } }
  }
  // Due since it was accepted, so that it comes before jobs that were queued after it.
  return { to: 'queued', ...unspent, runAt: job.queuedAt }
}

/** Moves due times by a step of the clock, so that waits keep their length. No visible change. */
export function shiftDueTimes(run: Run, byMs: number): Run {
  const jobs = run.jobs.map((job) => (job.runAt === null ? job : { ...job, runAt: job.runAt + byMs }))
  return { ...run, jobs }
}

/** Bounds each wait by its original length, because the clock may have been set while no process had the run. */
export function boundDueTimes(run: Run, at: number): Run {
  const jobs = run.jobs.map((job) => {
    const runAt = boundedDueTime(job, at)
    return runAt === job.runAt ? job : { ...job, runAt }
  })
  return jobs.every((job, index) => job === run.jobs[index]) ? run : { ...run, jobs }
}

function boundedDueTime(job: Job, at: number): number | null {
  const { state, runAt } = job
  if (runAt === null || runAt <= at) return runAt
  const beganAt = waitsSince(job)
  const lengthMs = runAt - beganAt
  // The clock was set back. A wait of negative length was moved by such a step before.
  const isOfLaterClock = beganAt > at && lengthMs >= 0
  const dueAt = isOfLaterClock ? at + lengthMs : runAt
  return state === 'retrying' ? Math.min(dueAt, at + maxRetryDelayMs) : dueAt
}

/** When a waiting job began to wait. */
export function waitsSince({ state, queuedAt, startedAt, failures }: Job): number {
  if (state === 'queued') return queuedAt
  const last = failures.at(-1)
  return last !== undefined && 'finishedAt' in last ? last.finishedAt : (startedAt ?? queuedAt)
}

/** Whether the job fails when it loses one more start. It runs alone, so that no other job is blamed with it. */
export function isSuspect(job: Pick<Job, 'lostStarts' | 'maxAttempts'>): boolean {
  return job.lostStarts >= maxLostStarts(job.maxAttempts) - 1
}
