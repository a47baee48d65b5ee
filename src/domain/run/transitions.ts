/**
 * Transitions of a run and its jobs, as pure functions. They do not check the claim: `verbs.ts` calls `ownsClaim` before it
 * settles a job. A function that changes nothing returns the same run, so `===` shows whether there is anything to save.
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
  type LostStart,
} from '../job.ts'
import {
  advanceChains,
  changeJob,
  failedAttemptOf,
  isAwaited,
  type Job,
  jobAt,
  type JobChange,
  missingOf,
  type Run,
} from './aggregate.ts'

/** A job to claim, and the thread that will run it. */
export interface ClaimPick {
  readonly jobIndex: number
  readonly thread: string
}

/**
 * Claims waiting jobs of one run; its version grows by one.
 * @param picks at least one
 * @param holder number of the process that claims them; null: only one process uses the store
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

interface ClaimDetails {
  readonly input: string | null
  /** Results of the jobs that it waited for. */
  readonly after?: readonly string[] | undefined
  /** How long the job had been due; default: claimed when accepted. */
  readonly waitedMs?: number
}

/** What a claim gives the process that made it. */
export function claimedJob(run: Run, jobIndex: number, { input, after, waitedMs = 0 }: ClaimDetails): ClaimedJob {
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
    waitedMs,
    ...(run.traceparent !== null && { traceparent: run.traceparent }),
    ...(after && { after }),
    ...(isAwaited(run, jobIndex) && { isAwaited: true }),
    ...(job.steps !== null && { steps: job.steps.count }),
  }
}

/** The fence: whether the job runs under this claim. No other claim may settle it. */
export function ownsClaim(run: Run, { jobIndex, claim }: Claim): boolean {
  const job = run.jobs[jobIndex]
  return job?.state === 'running' && job.claim === claim
}

export type SettlingVerb = 'complete' | 'fail' | 'release'

/**
 * Whether the claim has already ended with this outcome: without a reply to the first commit, the owner settles it again.
 * Only an owner makes a job `completed` or `retrying`; `queued` can also come from a rescue, which counts as a release.
 */
export function isSettledBy(verb: SettlingVerb, run: Run, { jobIndex, claim }: Claim): boolean {
  const job = run.jobs[jobIndex]
  if (job?.claim !== claim) return false
  switch (verb) {
    case 'complete':
      return job.state === 'completed'
    case 'fail':
      // A job with too many lost starts was failed by a rescue or a release, not by its owner's `fail`.
      return job.state === 'retrying' || (job.state === 'failed' && job.lostStarts < maxLostStarts(job.maxAttempts))
    case 'release':
      return job.state === 'queued'
  }
}

export function completeJob(run: Run, { jobIndex }: Claim, result: string, at: number): Run {
  return advanceChains(changeJob(run, jobIndex, { to: 'completed', result }, at), at)
}

/** The latest failures are kept: requested retries can add any number. */
const maxFailures = 100

/** @param retryAt null: the job fails for good */
export function failJob(run: Run, { jobIndex }: Claim, error: JobError, retryAt: number | null, at: number): Run {
  const job = jobAt(run, jobIndex)
  const failure = { attempt: job.attempt, startedAt: job.startedAt ?? at, finishedAt: at, error }
  const failures = [...job.failures, failure].slice(-maxFailures)
  if (retryAt !== null) return changeJob(run, jobIndex, { to: 'retrying', runAt: retryAt, failures }, at)
  return afterFailure(changeJob(run, jobIndex, { to: 'failed', error, failures }, at), jobIndex, at)
}

/** Counts a step that is stored in the same commit. */
export function addStep(run: Run, { jobIndex }: Claim, bytes: number): Run {
  const job = jobAt(run, jobIndex)
  const { count, bytes: before } = job.steps ?? { count: 0, bytes: 0 }
  const steps = { count: count + 1, bytes: before + bytes }
  return { ...run, version: run.version + 1, jobs: run.jobs.with(jobIndex, { ...job, steps }) }
}

/** Hands a job back without spending its attempt. It is due at once, after the jobs that are due already. */
export function releaseJob(run: Run, { jobIndex }: Claim, at: number): Run {
  const job = jobAt(run, jobIndex)
  const leaving = wasAskedToLeave(job)
  // A job that makes its process stop at each start must fail in the end.
  if (leaving === 'too often') return loseStart(run, jobIndex, at)
  const released: JobChange = { to: 'queued', attempt: job.attempt - 1, runAt: at }
  return changeJob(run, jobIndex, leaving === 'no' ? released : { ...released, lostStart: lostStartOf(job, at) }, at)
}

/** Notes that the process was asked to leave during these starts, for `wasAskedToLeave`. Readers see no change. */
export function noteLeaving(run: Run, isHeld: (claim: Claim) => boolean, at: number): Run {
  return changeUnseen(run, (job, jobIndex) => {
    const { state, claim, leftClaim, startedAt } = job
    if (state !== 'running' || leftClaim === claim || !isHeld({ runId: run.id, jobIndex, claim })) return job
    const isSoon = (startedAt ?? at) > at - soonAfterStartMs
    return { ...job, leftClaim: claim, leftStarts: job.leftStarts + Number(isSoon) }
  })
}

/** Makes a change that readers do not see, so the version stays. */
function changeUnseen(run: Run, change: (job: Job, index: number) => Job): Run {
  const jobs = run.jobs.map(change)
  return jobs.every((job, index) => job === run.jobs[index]) ? run : { ...run, jobs }
}

const byRequest: JobChange = { to: 'cancelled', error: { code: 'cancelled', message: 'cancelled on request' } }
const byFirstFailure: JobChange = { to: 'cancelled', error: { code: 'cancelled', message: 'the first job failed' } }

/** @param jobIndex null: all jobs that are not final */
export function cancelJobs(run: Run, jobIndex: number | null, at: number): Run {
  return advanceChains(cancelUnfinished(run, jobIndex, byRequest, at), at)
}

/** Updates the other jobs when one fails for good. */
function afterFailure(failed: Run, failedIndex: number, at: number): Run {
  const run = advanceChains(failed, at)
  if (failedIndex !== 0 || run.onFirstFailure !== 'cancel') return run
  return cancelUnfinished(run, null, byFirstFailure, at)
}

function cancelUnfinished(run: Run, jobIndex: number | null, change: JobChange, at: number): Run {
  let changed = run
  for (const [index, job] of run.jobs.entries()) {
    const isNamed = jobIndex === null || jobIndex === index
    if (isNamed && !isFinalJob(job.state)) changed = changeJob(changed, index, change, at)
  }
  return changed
}

/** Queues a failed or cancelled job again with fresh attempts, and blocks again the jobs that its end had cancelled. */
export function retryJob(run: Run, jobIndex: number, at: number): Run {
  const { chain, claim, expiry } = jobAt(run, jobIndex)
  const expires = expiry && { expiry: { ...expiry, claim } }
  const fresh = { attempt: 0, lostStarts: 0, leftStarts: 0, queuedAt: at, ...expires }
  const change: JobChange =
    chain === null || missingOf(run, chain).length === 0
      ? { to: 'queued', ...fresh, runAt: at }
      : { to: 'blocked', ...fresh, chain: { ...chain, cancelledBy: null } }
  return advanceChains(changeJob(run, jobIndex, change, at), at)
}

/** When a queued job expires unless it starts; null: it can wait forever, or has started before. */
export function expiresAt({ state, runAt, claim, expiry }: Job): number | null {
  if (expiry === null || runAt === null || state !== 'queued' || claim !== expiry.claim) return null
  return runAt + expiry.afterMs
}

/** Fails the jobs that have been due for too long. */
export function expireJobs(run: Run, at: number): Run {
  let changed = run
  for (const index of run.jobs.keys()) {
    // Of the changed run: the failure of an earlier job may have cancelled this one.
    const job = jobAt(changed, index)
    const expires = expiresAt(job)
    if (expires === null || expires > at) continue
    const message = `did not start within ${job.expiry?.afterMs} ms of being due`
    changed = changeJob(changed, index, { to: 'failed', error: { code: 'expired', message } }, at)
    changed = afterFailure(changed, index, at)
  }
  return changed
}

/** Takes back the running jobs of a dead process. No attempt is spent; `loseStart` says which starts are counted as lost. */
export function rescueJobs(run: Run, isHeldByDead: (claim: Claim) => boolean, at: number): Run {
  let changed = run
  for (const index of run.jobs.keys()) {
    // Of the changed run: the failure of the first job may have cancelled this one.
    const job = jobAt(changed, index)
    if (job.state !== 'running' || !isHeldByDead({ runId: run.id, jobIndex: index, claim: job.claim })) continue
    changed = loseStart(changed, index, at)
  }
  return changed
}

/** Ends a start together with its process: queues the job again, or fails it when it has lost too many starts. */
function loseStart(run: Run, index: number, at: number): Run {
  const job = jobAt(run, index)
  const leaving = wasAskedToLeave(job)
  // A start during which the process was asked to leave counts only when that happened too often.
  const lostStarts = job.lostStarts + Number(leaving !== 'yes')
  const unspent = { attempt: job.attempt - 1, lostStarts, lostStart: lostStartOf(job, at) }
  if (lostStarts < maxLostStarts(job.maxAttempts)) {
    // Due since it was queued first, so that a crash does not cost it its place in the queue.
    return changeJob(run, index, { to: 'queued', ...unspent, runAt: job.queuedAt }, at)
  }
  const message =
    leaving === 'no'
      ? `the whole process died during ${lostStarts} starts of this job`
      : `the process was asked to stop soon after ${job.leftStarts} starts of this job`
  const failed = changeJob(run, index, { to: 'failed', ...unspent, error: { code: 'crashed', message } }, at)
  return afterFailure(failed, index, at)
}

/** Whether the process was asked to leave during this start of the job. */
function wasAskedToLeave({ claim, leftClaim, leftStarts }: Job): 'no' | 'yes' | 'too often' {
  if (leftClaim !== claim) return 'no'
  return leftStarts > maxLeftStarts ? 'too often' : 'yes'
}

function lostStartOf({ startedAt }: Job, at: number): LostStart {
  return { startedAt: startedAt ?? at, takenBackAt: at }
}

/** Moves due times by a step of the clock, so that waits keep their length. Readers see no change. */
export function shiftDueTimes(run: Run, byMs: number): Run {
  return setDueTimes(run, ({ runAt }) => (runAt === null ? null : runAt + byMs))
}

/** Keeps each wait within its intended length: the clock may have been set back while no process was running. */
export function boundDueTimes(run: Run, at: number): Run {
  return setDueTimes(run, (job) => boundedDueTime(job, at))
}

function setDueTimes(run: Run, dueTimeOf: (job: Job) => number | null): Run {
  return changeUnseen(run, (job) => {
    const runAt = dueTimeOf(job)
    return runAt === job.runAt ? job : { ...job, runAt }
  })
}

function boundedDueTime(job: Job, at: number): number | null {
  const { state, runAt } = job
  if (runAt === null || runAt <= at) return runAt
  // Negative if an earlier step of the clock has moved the due time already: then the length is unknown.
  const lengthMs = runAt - waitsSince(job)
  const byLength = lengthMs < 0 ? runAt : at + lengthMs
  const byRetry = state === 'retrying' ? at + maxRetryDelayMs : runAt
  return Math.min(runAt, byLength, byRetry)
}

/** When a waiting job started to wait. */
export function waitsSince({ state, queuedAt, startedAt, failures }: Job): number {
  if (state === 'queued') return queuedAt
  const last = failures.at(-1)
  return (last && failedAttemptOf(last)?.finishedAt) ?? startedAt ?? queuedAt
}

/** Whether one more lost start is the job's last. A suspect runs alone, so that no other job is blamed with it. */
export function isSuspect(job: Pick<Job, 'lostStarts' | 'maxAttempts'>): boolean {
  return job.lostStarts >= maxLostStarts(job.maxAttempts) - 1
}
