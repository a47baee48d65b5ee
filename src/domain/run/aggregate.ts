/**
 * A run with its jobs as one record: the unit that a store loads, changes by the functions of this folder, and saves.
 * Records are immutable. The rules of the two state machines are in this folder and nowhere else.
 */
import type { StepTotals } from '../claim.ts'
import {
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

/** A text or an object that the store keeps outside the record because it is not small; opaque to the rules. */
export interface Apart {
  /** Names it within its job. */
  readonly part: number
  /** Of its JSON text. */
  readonly bytes: number
}

/** A failure that is kept there. Its times, in short for the record, are absent in older ones. */
export interface ApartFailure extends Apart {
  /** When the attempt started. */
  readonly at?: number
  readonly ms?: number
}

/** JSON text, or where the store keeps it; null where there is none. */
export type Payload = string | Apart | null

/** The dependencies of a job on results of other jobs. */
export interface Chain {
  /** Indexes of earlier jobs, in the order in which their results are handed over. */
  readonly after: readonly number[]
  /** From the completion of the last of them to the job's start. */
  readonly delayMs: number
  /** The job whose failure or cancel has cancelled this one; null where none has. */
  readonly cancelledBy: number | null
}

/** How long a due job may wait for its start. */
export interface Expiry {
  readonly afterMs: number
  /** Number of its latest claim when it was queued: once it was claimed again, it has started in time. */
  readonly claim: number
}

/** Instants are epoch milliseconds; null for events that have not happened. */
export interface Job {
  readonly task: string
  readonly kind: TaskKind
  readonly state: JobState
  readonly priority: number
  readonly timeoutMs: number
  readonly maxAttempts: number
  /** Spent attempts and the one under way. */
  readonly attempt: number
  /** Number of the latest claim. It only grows, and fences every write. */
  readonly claim: number
  readonly lostStarts: number
  /** The claim during which the process was last asked to leave, and how often that came soon after a start. */
  readonly leftClaim: number
  readonly leftStarts: number
  /** The latest start that ended with its process; null where there is none. */
  readonly lostStart: LostStart | null
  readonly thread: string | null
  /** Number of the process that runs it, where several share the store; null elsewhere, and while it does not run. */
  readonly holder: number | null
  readonly queuedAt: number
  /** When a waiting job is due; null in every other state. */
  readonly runAt: number | null
  readonly startedAt: number | null
  readonly finishedAt: number | null
  readonly input: Payload
  readonly result: Payload
  readonly error: JobError | Apart | null
  /** The latest unsuccessful attempts, oldest first. */
  readonly failures: readonly (JobFailure | ApartFailure)[]
  /** null where it waits for no other job. */
  readonly chain: Chain | null
  /** null where it may wait for ever. */
  readonly expiry: Expiry | null
  /** Paths of what is secret in its input and its result; null where nothing is. */
  readonly secret: readonly string[] | null
  /** null where none is stored. */
  readonly steps: StepTotals | null
}

export interface Run {
  readonly id: string
  readonly state: RunState
  /** Grows with every change. */
  readonly version: number
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
  /** The span that has asked for the run, as W3C Trace Context names it; null where there was none. */
  readonly traceparent: string | null
  /** Where its end is reported, as an address with its credentials; null: nowhere. */
  readonly webhook: string | null
  readonly counts: JobCounts
  readonly answer: Answer | null
  readonly respondedAt: number | null
  readonly finishedAt: number | null
  /** In order of their index. */
  readonly jobs: readonly Job[]
}

/** Members of a job that a change sets. */
export interface JobChange {
  readonly to: JobState
  readonly attempt?: number
  readonly lostStarts?: number
  readonly leftStarts?: number
  readonly lostStart?: LostStart
  readonly queuedAt?: number
  /** Given if the job waits again. */
  readonly runAt?: number
  readonly result?: string
  readonly error?: JobError
  readonly failures?: readonly (JobFailure | ApartFailure)[]
  readonly chain?: Chain
  readonly expiry?: Expiry | null
}

export function jobAt(run: Run, index: number): Job {
  const job = run.jobs[index]
  if (job === undefined) throw new Error(`the run ${run.id} has no job ${index}`)
  return job
}

/** How many jobs run now. */
export function runningJobs({ jobs }: Run): number {
  let running = 0
  for (const { state } of jobs) if (state === 'running') running += 1
  return running
}

/** The run after a job that was not claimed by this change changed its state. */
export function changeJob(run: Run, index: number, change: JobChange, at: number): Run {
  const before = jobAt(run, index)
  const job = changedJob(before, change, at)
  const counts = countsAfter(run.counts, before.state, job.state)
  const state = moveRun(run.state, counts)
  const settled = { index, state: job.state, error: change.error ?? null }
  const decided = run.answer === null ? decideAnswer(run.respond, counts, settled) : null
  return {
    ...run,
    state,
    version: run.version + 1,
    counts,
    answer: decided ?? run.answer,
    respondedAt: decided === null ? run.respondedAt : at,
    finishedAt: state === 'running' ? null : at,
    jobs: run.jobs.with(index, job),
  }
}

function changedJob(job: Job, change: JobChange, at: number): Job {
  const state = moveJob(job.state, change.to)
  const isUnspent = state === 'queued' || state === 'blocked'
  return {
    ...job,
    state,
    attempt: change.attempt ?? job.attempt,
    lostStarts: change.lostStarts ?? job.lostStarts,
    leftStarts: change.leftStarts ?? job.leftStarts,
    lostStart: change.lostStart ?? job.lostStart,
    thread: isUnspent ? null : job.thread,
    holder: null,
    queuedAt: change.queuedAt ?? job.queuedAt,
    runAt: change.runAt ?? null,
    startedAt: isUnspent ? null : job.startedAt,
    finishedAt: isFinalJob(state) ? at : null,
    result: change.result ?? null,
    error: change.error ?? null,
    failures: change.failures ?? job.failures,
    chain: change.chain ?? job.chain,
    expiry: change.expiry ?? job.expiry,
    // A requested retry begins without them.
    steps: isFinalJob(job.state) ? null : job.steps,
  }
}

function countsAfter({ open, failed, cancelled }: JobCounts, from: JobState, to: JobState): JobCounts {
  return {
    open: open + Number(isFinalJob(from)) - Number(isFinalJob(to)),
    failed: failed + Number(to === 'failed') - Number(from === 'failed'),
    cancelled: cancelled + Number(to === 'cancelled') - Number(from === 'cancelled'),
  }
}

/** Updates all jobs of the run that wait for others. */
export function advanceChains(run: Run, at: number): Run {
  let changed = run
  // In order of index: dependencies have lower indexes, and are updated first.
  for (let index = 1; index < run.jobs.length; index += 1) {
    const chain = run.jobs[index]?.chain ?? null
    if (chain !== null) changed = advance(changed, index, chain, at)
  }
  return changed
}

function advance(run: Run, index: number, chain: Chain, at: number): Run {
  const { state } = jobAt(run, index)
  const { cancelledBy } = chain
  if (state === 'cancelled' && cancelledBy !== null && !endedWithoutResult(run, cancelledBy)) {
    const blocked = { ...chain, cancelledBy: null }
    return advance(changeJob(run, index, { to: 'blocked', queuedAt: at, chain: blocked }, at), index, blocked, at)
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

/** The first dependency that failed or was cancelled, or null. */
export function failedDependency(run: Run, { after }: Chain): number | null {
  return after.find((index) => endedWithoutResult(run, index)) ?? null
}

function endedWithoutResult(run: Run, index: number): boolean {
  const { state } = jobAt(run, index)
  return state === 'failed' || state === 'cancelled'
}

/** The dependencies that are not completed. */
export function missingOf({ jobs }: Run, { after }: Chain): number[] {
  return after.filter((index) => jobs[index]?.state !== 'completed')
}

/** Whether other jobs of the run wait for this one's result. */
export function isAwaited({ jobs }: Run, jobIndex: number): boolean {
  for (let index = jobIndex + 1; index < jobs.length; index += 1) {
    if (jobs[index]?.chain?.after.includes(jobIndex) === true) return true
  }
  return false
}

/** Results of the job's dependencies, in their order; undefined if it has none. */
export function resultsFor(
  { jobs }: Run,
  { chain }: Pick<Job, 'chain'>,
  resultOf: (job: Job, index: number) => string | null,
): string[] | undefined {
  return chain?.after.map((index) => {
    const job = jobs[index]
    const result = job === undefined ? null : resultOf(job, index)
    if (result === null) throw new Error(`job ${index} has no result, and another one was to have it`)
    return result
  })
}
