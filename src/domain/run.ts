/** A run: its states and their transitions, its record for readers, and when its answer is decided. */
import type { Claim } from './claim.ts'
import { isFinalJob, type JobCounts, type JobError, type JobRecord, type JobState } from './job.ts'
import type { DeliveryRecord } from './webhook.ts'

export const runStates = ['running', 'completed', 'failed', 'cancelled'] as const
export type RunState = (typeof runStates)[number]

const transitions: Record<RunState, readonly RunState[]> = {
  running: ['running', 'completed', 'failed', 'cancelled'],
  // After the requested retry of a job.
  failed: ['running'],
  cancelled: ['running'],
  completed: [],
}

/** The run's state after a job has changed. @throws Error for a transition that the table does not have: a defect of ours */
export function moveRun(from: RunState, counts: JobCounts): RunState {
  const to = runStateOf(counts)
  if (!transitions[from].includes(to)) throw new Error(`a run cannot go from ${from} to ${to}`)
  return to
}

export function runStateOf(counts: JobCounts): RunState {
  if (counts.open > 0) return 'running'
  if (counts.failed > 0) return 'failed'
  return counts.cancelled > 0 ? 'cancelled' : 'completed'
}

/** What happens to the other jobs when the first one fails for good. */
export const firstFailurePolicies = ['continue', 'cancel'] as const
export type FirstFailurePolicy = (typeof firstFailurePolicies)[number]

/** A run as a store gives it to readers. Instants are epoch milliseconds; null: not yet. */
export interface RunRecord {
  readonly id: string
  readonly state: RunState
  /** Grows with every committed change of the run and its jobs that readers can see. */
  readonly version: number
  readonly respond: RespondMode
  readonly tags: readonly string[]
  readonly answer: Answer | null
  /** The instant that its id contains. */
  readonly createdAt: number
  readonly respondedAt: number | null
  readonly finishedAt: number | null
  /** In order of their index. */
  readonly jobs: readonly JobRecord[]
  /** Absent: none. */
  readonly webhook?: string
  /** Oldest first; absent in lists, and for a run without a webhook. */
  readonly deliveries?: readonly DeliveryRecord[]
}

/** A delivery when its run ends. */
export interface NewDelivery {
  readonly runId: string
  readonly version: number
  /** Origin of the webhook's URL: each receiver has its own limit. */
  readonly receiver: string
  readonly outcome: RunState
  readonly endedAt: number
}

/** A delivery that a process has taken in order to send it. */
export interface ClaimedDelivery extends NewDelivery {
  readonly attempts: number
}

/** A committed change of a run. */
export interface RunChange {
  readonly runId: string
  readonly version: number
  readonly state: RunState
  readonly isAnswered: boolean
  /**
   * Claims that a cancel has ended; their attempts must stop. When a listener gets this, the job can already run under a
   * newer claim.
   */
  readonly voided: readonly Claim[]
  /** Whether the change made a delivery due. Set only for commits of this process. */
  readonly isDeliveryDue?: boolean
}

/** The run as the commit of a change left it; null: it must be read, because this process does not have it in memory. */
export type AsCommitted = () => RunRecord | null
/** @param asCommitted absent from an engine that keeps no records for it */
export type ChangeListener = (change: RunChange, asCommitted?: AsCommitted) => void

export const respondModes = ['first', 'race', 'any', 'all', 'none'] as const
export type RespondMode = (typeof respondModes)[number]

export interface Answer {
  readonly mode: RespondMode
  /** The deciding job; null: all jobs together. */
  readonly jobIndex: number | null
  /** HTTP status of the answer: 200, or that of the failure. */
  readonly status: number
}

/** A job after a change. */
interface ChangedJob {
  readonly index: number
  readonly state: JobState
  readonly error: JobError | null
}

/**
 * The answer that a job's new state decides; null: none yet.
 * @param counts of the run, after the change
 */
export function decideAnswer(mode: RespondMode, counts: JobCounts, job: ChangedJob): Answer | null {
  if (!isFinalJob(job.state)) return null
  const byJob = (status: number): Answer => ({ mode, jobIndex: job.index, status })
  switch (mode) {
    case 'first':
      return job.index === 0 ? byJob(statusOf(job)) : null
    case 'race':
      return byJob(statusOf(job))
    case 'any':
      if (job.state === 'completed') return byJob(200)
      // No other job is completed: it would have decided the answer.
      return counts.open === 0 ? { mode, jobIndex: null, status: 500 } : null
    case 'all':
      if (counts.open > 0) return null
      return { mode, jobIndex: null, status: counts.failed + counts.cancelled === 0 ? 200 : 500 }
    case 'none':
      return null
  }
}

function statusOf(job: ChangedJob): number {
  return job.state === 'completed' ? 200 : failureStatusOf(job.error?.status)
}

/**
 * Statuses that a task's error can set for the answer. The others would mislead clients: 401 and 407 require a challenge
 * and look like a refusal by the service; 408, 421, 425 and 429 make clients send the request again, though its answer is
 * decided; 405, 406, 411 to 417, 426, 428 and 431 are about the form of the HTTP message.
 */
export const failureStatuses: readonly number[] = [400, 402, 403, 404, 409, 410, 418, 422, 423, 424, 451]

/** The status of a failed answer: the error's own where an answer can have it, else 500. */
export function failureStatusOf(own: number | undefined): number {
  return own !== undefined && failureStatuses.includes(own) ? own : 500
}
