/**
 * A run with its jobs as one immutable record: a store loads it, changes it by the functions of this folder, and saves
 * it. All rules of the two state machines are in this folder.
 */
import type { StepTotals } from '../claim.ts'
import {
  type FailedAttempt,
  isFinalJob,
  type JobCounts,
  type JobError,
  type JobFailure,
  type JobState,
  type LostStart,
  moveJob,
} from '../job.ts'
import { type Answer, decideAnswer, type FirstFailurePolicy, moveRun, type RespondMode, type RunState } from '../run.ts'
import type { TaskKind } from '../task.ts'

/** A value that the store keeps outside the record because it is large; opaque to the rules. */
export interface Apart {
  /** Identifies it within its job. */
  readonly part: number
  /** Length of its JSON text. */
  readonly bytes: number
}

/** A failure that is kept outside the record. */
export interface ApartFailure extends Apart {
  /** When the attempt started; absent, like `ms`, in records of older versions. */
  readonly at?: number
  /** How long it took. */
  readonly ms?: number
}

/** null: the record does not have its times. */
export function failedAttemptOf(failure: JobFailure | ApartFailure): FailedAttempt | null {
  if ('finishedAt' in failure) return { startedAt: failure.startedAt, finishedAt: failure.finishedAt }
  const { at, ms } = failure
  return at === undefined || ms === undefined ? null : { startedAt: at, finishedAt: at + ms }
}

/** JSON text, or where the store keeps it; null: none. */
export type Payload = string | Apart | null

/** The dependencies of a job on results of other jobs. */
export interface Chain {
  /** Indexes of earlier jobs, in the order in which the job gets their results. */
  readonly after: readonly number[]
  /** From the completion of the last of them until the job is due. */
  readonly delayMs: number
  /** The job whose failure or cancel has cancelled this one; null: none. */
  readonly cancelledBy: number | null
}

/** How long a due job may wait for its start. */
export interface Expiry {
  readonly afterMs: number
  /** The job's latest claim when it was queued. With a newer one it has started in time, and expires no more. */
  readonly claim: number
}

/** Instants are epoch milliseconds; null: not yet. */
export interface Job {
  readonly task: string
  readonly kind: TaskKind
  readonly state: JobState
  readonly priority: number
  readonly timeoutMs: number
  readonly maxAttempts: number
  /** Number of attempts, the current one included. */
  readonly attempt: number
  /** Number of the latest claim. It only grows, and fences every write. */
  readonly claim: number
  /** Number of lost starts. One during which the process was asked to leave counts only when that happened too often. */
  readonly lostStarts: number
  /** The latest claim during which the process was asked to leave; 0: none. */
  readonly leftClaim: number
  /** How often the process was asked to leave soon after a start of this job. */
  readonly leftStarts: number
  /** The latest lost start; null: none. */
  readonly lostStart: LostStart | null
  readonly thread: string | null
  /** Number of the process that runs the job; null: it does not run, or only one process uses the store. */
  readonly holder: number | null
  readonly queuedAt: number
  /** When a waiting job is due; null in every other state. */
  readonly runAt: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly input: Payload
  readonly result: Payload
  readonly error: JobError | Apart | null
  /** The latest failed attempts, oldest first. */
  readonly failures: readonly (JobFailure | ApartFailure)[]
  /** null: it needs no results of other jobs. */
  readonly chain: Chain | null
  /** null: it can wait forever. */
  readonly expiry: Expiry | null
  /** Paths of the secret members of its input and result; null: none. */
  readonly secret: readonly string[] | null
  /** null: none is stored. */
  readonly steps: StepTotals | null
}

export interface Run {
  readonly id: string
  readonly state: RunState
  /** Grows with every change that readers can see. */
  readonly version: number
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
  /** The caller's span, in W3C Trace Context format; null: none. */
  readonly traceparent: string | null
  /** The URL that gets a delivery when the run ends, credentials included; null: none. */
  readonly webhook: string | null
  readonly counts: JobCounts
  readonly answer: Answer | null
  readonly respondedAt: number | null
  readonly finishedAt: number | null
  /** In order of their index. */
  readonly jobs: readonly Job[]
}

/** The new state of a job, and other members that the change sets. `changedJob` says which of the others it resets. */
export interface JobChange {
  readonly to: JobState
  readonly attempt?: number
  readonly lostStarts?: number
  readonly leftStarts?: number
  readonly lostStart?: LostStart
  readonly queuedAt?: number
  /** Set when the job waits again. */
  readonly runAt?: number
  readonly result?: string
  readonly error?: JobError
  readonly failures?: readonly (JobFailure | ApartFailure)[]
  readonly chain?: Chain
  readonly expiry?: Expiry
}

export function jobAt(run: Run, index: number): Job {
  const job = run.jobs[index]
  if (job === undefined) throw new Error(`the run ${run.id} has no job ${index}`)
  return job
}

/** How many jobs are running. */
export function runningJobs({ jobs }: Run): number {
  let running = 0
  for (const { state } of jobs) if (state === 'running') running += 1
  return running
}

/** Applies any change of a job except a claim, and updates state, counts and answer of the run. */
export function changeJob(run: Run, index: number, change: JobChange, at: number): Run {
  const before = jobAt(run, index)
  const job = changedJob(before, change, at)
  const counts = countsAfter(run.counts, before.state, job.state)
  const state = moveRun(run.state, counts)
  const changed = { index, state: job.state, error: change.error ?? null }
  const newAnswer = run.answer === null ? decideAnswer(run.respond, counts, changed) : null
  return {
    ...run,
    state,
    version: run.version + 1,
    counts,
    answer: newAnswer ?? run.answer,
    respondedAt: newAnswer === null ? run.respondedAt : at,
    finishedAt: state === 'running' ? null : at,
    jobs: run.jobs.with(index, job),
  }
}

function changedJob(job: Job, { to, ...members }: JobChange, at: number): Job {
  const state = moveJob(job.state, to)
  const isQueuedAgain = state === 'queued' || state === 'blocked'
  return {
    ...job,
    state,
    thread: isQueuedAgain ? null : job.thread,
    holder: null,
    startedAt: isQueuedAgain ? null : job.startedAt,
    finishedAt: isFinalJob(state) ? at : null,
    // A final job changes only by a retry, which starts without the stored steps.
    steps: isFinalJob(job.state) ? null : job.steps,
    // They belong to the old state.
    runAt: null,
    result: null,
    error: null,
    ...members,
  }
}

function countsAfter({ open, failed, cancelled }: JobCounts, from: JobState, to: JobState): JobCounts {
  return {
    open: open + Number(isFinalJob(from)) - Number(isFinalJob(to)),
    failed: failed + Number(to === 'failed') - Number(from === 'failed'),
    cancelled: cancelled + Number(to === 'cancelled') - Number(from === 'cancelled'),
  }
}

/** Call after a change that ended a job or queued it again: its dependents become due, are cancelled, or are blocked again. */
export function advanceChains(run: Run, at: number): Run {
  let changed = run
  // In order of index: dependencies have lower indexes, so they are updated first.
  for (let index = 1; index < run.jobs.length; index += 1) {
    const chain = run.jobs[index]?.chain ?? null
    if (chain !== null) changed = advanceJob(changed, index, chain, at)
  }
  return changed
}

function advanceJob(run: Run, index: number, chain: Chain, at: number): Run {
  const { state } = jobAt(run, index)
  const { cancelledBy } = chain
  if (state === 'cancelled' && cancelledBy !== null && !endedWithoutResult(run, cancelledBy)) {
    const freed = { ...chain, cancelledBy: null }
    const blocked = changeJob(run, index, { to: 'blocked', queuedAt: at, chain: freed }, at)
    // Another dependency may have failed, or none may be missing.
    return advanceJob(blocked, index, freed, at)
  }
  if (state !== 'blocked') return run
  const failed = failedDependency(run, chain)
  if (failed !== null) {
    const message = `job ${failed} ${jobAt(run, failed).state === 'failed' ? 'failed' : 'was cancelled'}`
    const cancelled = { ...chain, cancelledBy: failed }
    return changeJob(run, index, { to: 'cancelled', error: { code: 'cancelled', message }, chain: cancelled }, at)
  }
  if (missingOf(run, chain).length > 0) return run
  return changeJob(run, index, { to: 'queued', queuedAt: at, runAt: at + chain.delayMs }, at)
}

/** The first dependency that failed or was cancelled; null: none. */
export function failedDependency(run: Run, { after }: Chain): number | null {
  return after.find((index) => endedWithoutResult(run, index)) ?? null
}

function endedWithoutResult(run: Run, index: number): boolean {
  const { state } = jobAt(run, index)
  return state === 'failed' || state === 'cancelled'
}

/** Dependencies that are not completed. */
export function missingOf({ jobs }: Run, { after }: Chain): number[] {
  return after.filter((index) => jobs[index]?.state !== 'completed')
}

/** Whether other jobs of the run need this one's result. */
export function isAwaited({ jobs }: Run, jobIndex: number): boolean {
  for (let index = jobIndex + 1; index < jobs.length; index += 1) {
    if (jobs[index]?.chain?.after.includes(jobIndex) === true) return true
  }
  return false
}

/** Results of the job's dependencies, in their order; undefined: it has none. */
export function resultsFor(
  { jobs }: Run,
  { chain }: Pick<Job, 'chain'>,
  resultOf: (job: Job, index: number) => string | null,
): string[] | undefined {
  return chain?.after.map((index) => {
    const job = jobs[index]
    const result = job === undefined ? null : resultOf(job, index)
    if (result === null) throw new Error(`job ${index} has no result, though another job depends on it`)
    return result
  })
}
