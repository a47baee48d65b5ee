/** A run's states and what may follow what, its record, and its answer: when that is decided, and by which job. */
import type { Claim } from './claim.ts'
import { isFinalJob, type JobCounts, type JobError, type JobRecord, type JobState } from './job.ts'
import type { DeliveryRecord } from './webhook.ts'

export const runStates = ['running', 'completed', 'failed', 'cancelled'] as const
export type RunState = (typeof runStates)[number]

const transitions: Record<RunState, readonly RunState[]> = {
  running: ['running', 'completed', 'failed', 'cancelled'],
  // A requested retry of one of its jobs makes a run live again.
  failed: ['running'],
  cancelled: ['running'],
  completed: [],
}

/** The state after one of the run's jobs moved; throws on a move that the table does not have. */
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

/** What becomes of the other jobs when the first fails for good. */
export const firstFailurePolicies = ['continue', 'cancel'] as const
export type FirstFailurePolicy = (typeof firstFailurePolicies)[number]

/** A run as a store gives it to readers, made of the `Run` that it keeps. Instants are epoch milliseconds; null where the thing has not happened. */
export interface RunRecord {
  readonly id: string
  readonly state: RunState
  /** Grows with every committed change of state. */
  readonly version: number
  readonly respond: RespondMode
  readonly tags: readonly string[]
  readonly answer: Answer | null
  /** The instant in its id. */
  readonly createdAt: number
  readonly respondedAt: number | null
  readonly finishedAt: number | null
  /** In order of their index. */
  readonly jobs: readonly JobRecord[]
  /** Absent where the run has no webhook. */
  readonly webhook?: string
  /** In order of the ends that they report; absent where the run has no webhook, and in lists. */
  readonly deliveries?: readonly DeliveryRecord[]
}

/** Says that a run's committed state changed. */
export interface RunChange {
  readonly runId: string
  readonly version: number
  readonly state: RunState
  readonly isAnswered: boolean
  /**
   * The claims that a cancel has ended: an attempt under one of them is to stop. The same job can run under a newer
   * claim by the time this is heard.
   */
  readonly voided: readonly Claim[]
  /** Whether a delivery of the run is due since the change; only of commits of this process. */
  readonly isDeliveryDue?: boolean
}

/** The run as the commit of a change left it; null where it has to be read. */
export type AsCommitted = () => RunRecord | null
/** @param asCommitted absent where the commit is not this process's, or the engine does not have the run at hand */
export type ChangeListener = (change: RunChange, asCommitted?: AsCommitted) => void

export const respondModes = ['first', 'race', 'any', 'all', 'none'] as const
export type RespondMode = (typeof respondModes)[number]

export interface Answer {
  readonly mode: RespondMode
  /** The deciding job; null where all of them decided together. */
  readonly jobIndex: number | null
  /** HTTP status of the answer: 200, or that of the failure. */
  readonly status: number
}

/** A job with its new state. */
interface SettledJob {
  readonly index: number
  readonly state: JobState
  readonly error: JobError | null
}

/**
 * The answer that a job's new state decides, or null while it is open.
 * @param counts of the run, with this job's new state counted in
 */
export function decideAnswer(mode: RespondMode, counts: JobCounts, job: SettledJob): Answer | null {
  if (!isFinalJob(job.state)) return null
  const byJob = (status: number): Answer => ({ mode, jobIndex: job.index, status })
  switch (mode) {
    case 'first':
      return job.index === 0 ? byJob(statusOf(job)) : null
    case 'race':
      return byJob(statusOf(job))
    case 'any':
      if (job.state === 'completed') return byJob(200)
      // Were another job completed, the answer would be decided already.
      return counts.open === 0 ? { mode, jobIndex: null, status: 500 } : null
    case 'all':
      if (counts.open > 0) return null
      return { mode, jobIndex: null, status: counts.failed + counts.cancelled === 0 ? 200 : 500 }
    case 'none':
      return null
  }
}

function statusOf(job: SettledJob): number {
  return job.state === 'completed' ? 200 : failureStatusOf(job.error?.status)
}

/**
 * Statuses that a task's error can give the answer: those that are about the request and do not ask the client to act.
 * Others are not for a task to set: 401 and 407 want a challenge, and would look like a refusal of the service; 408,
 * 421, 425 and 429 have clients send the request again, though its answer is decided; 405, 406, 411 to 417, 426, 428 and
 * 431 are about the form of the HTTP message.
 */
export const failureStatuses: readonly number[] = [400, 402, 403, 404, 409, 410, 418, 422, 423, 424, 451]

/** @param own status of the error, or of an answer that was stored; 500 where it cannot be that of an answer */
export function failureStatusOf(own: number | undefined): number {
  return own !== undefined && failureStatuses.includes(own) ? own : 500
}
