/** A job's states and what may follow what, its record, why it failed or waits, and when it is tried again. */

/** Stored records hold the index of a state: add new ones at the end. */
export const jobStates = ['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'blocked'] as const
export type JobState = (typeof jobStates)[number]

const transitions: Record<JobState, readonly JobState[]> = {
  // Failed: it has expired.
  queued: ['running', 'cancelled', 'failed'],
  // Back to queued: released by its owner, or rescued from a process that died.
  running: ['completed', 'failed', 'cancelled', 'retrying', 'queued'],
  retrying: ['running', 'cancelled'],
  completed: [],
  // Only when a retry is requested.
  failed: ['queued'],
  cancelled: ['queued', 'blocked'],
  blocked: ['queued', 'cancelled'],
}

/** The state after a move; throws on one that the table does not have, which is always a defect of ours. */
export function moveJob(from: JobState, to: JobState): JobState {
  if (!transitions[from].includes(to)) throw new Error(`a job cannot go from ${from} to ${to}`)
  return to
}

/** Whether the job has ended: only a requested retry changes it. */
export function isFinalJob(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

/** How many of a run's jobs are not final, have failed, and were cancelled. */
export interface JobCounts {
  readonly open: number
  readonly failed: number
  readonly cancelled: number
}

export const jobErrorCodes = [
  'task_error',
  'timeout',
  'out_of_memory',
  'crashed',
  'cancelled',
  'invalid_result',
  'expired',
  'invalid_request',
] as const
export type JobErrorCode = (typeof jobErrorCodes)[number]

/** Why an attempt did not succeed, as it is stored and shown. */
export interface JobError {
  readonly code: JobErrorCode
  readonly message: string
  /** The thrown error's own `name`, `code` and `status`. */
  readonly name?: string
  readonly taskCode?: string | number
  readonly status?: number
  /** The thrown error's `cause`, in the same form. */
  readonly cause?: Omit<JobError, 'code'>
  /** Exit code of the thread, where it ended by one. */
  readonly exitCode?: number
  readonly stack?: string
}

/** One unsuccessful attempt. Instants are epoch milliseconds. */
export interface FailedAttempt {
  readonly startedAt: number
  readonly finishedAt: number
}

export interface JobFailure extends FailedAttempt {
  readonly attempt: number
  readonly error: JobError
}

/** A step of a job as readers get it. */
export interface StepRecord {
  readonly name: string
  /** In epoch milliseconds. */
  readonly finishedAt: number
}

/** A start that ended with its process, and spent no attempt. */
export interface LostStart {
  readonly startedAt: number
  /** By the process as it left, by the same one after its restart, or by another one. */
  readonly takenBackAt: number
}

/** A job as a store gives it to readers, without input and claim. Instants are epoch milliseconds; null where the thing has not happened. */
export interface JobRecord {
  readonly index: number
  readonly task: string
  readonly state: JobState
  /** `main`, `worker-N`, or null before the first start. */
  readonly thread: string | null
  /** Spent attempts and the one under way; 0 before the first. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly queuedAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  /** When a waiting job is due; null in every other state. */
  readonly runAt: number | null
  /** The latest; absent where there is none. */
  readonly lostStart?: LostStart
  /** Jobs whose results it was to wait for; absent where there are none. */
  readonly after?: readonly number[]
  /** Jobs whose results a blocked job still waits for; absent in every other state. */
  readonly waitsFor?: readonly number[]
  /** Paths of what is secret in its input and its result; absent: nothing is. */
  readonly secret?: readonly string[]
  /** JSON text; null until completed, and in lists. */
  readonly result: string | null
  readonly error: JobError | null
  readonly failures: readonly JobFailure[]
  /** The latest of its failures where they are left out; absent where there are none. */
  readonly failedAttempts?: readonly FailedAttempt[]
  /** In the order in which they were stored; absent where there are none, and in lists. */
  readonly steps?: readonly StepRecord[]
  /**
   * Present where the result, the failures, the steps and the details of the error were left out because the run has more of them
   * than is read at once; the job read by itself has them. `resultBytes` null: there is no result.
   */
  readonly omitted?: { readonly resultBytes: number | null }
}

/** What a job was given. */
export interface JobInput {
  /** JSON text; null where the request had no input. */
  readonly input: string | null
  readonly secret?: readonly string[]
}

/** Why a job does not run yet, as far as the process that answers knows. `until` is in epoch milliseconds. */
export type Waiting =
  /** It needs results of other jobs. */
  | { readonly reason: 'blocked' }
  | { readonly reason: 'delay' | 'retry'; readonly until: number }
  /** No job of its task starts until that is resumed. */
  | { readonly reason: 'paused' }
  /** This process has no such task: one that has it runs the job. */
  | { readonly reason: 'unknown-task' }
  /** The concurrency of its task is used up here. */
  | { readonly reason: 'limit'; readonly limit: number }
  /** The rate of its task is used up. */
  | { readonly reason: 'rate'; readonly limit: number; readonly perMs: number; readonly until: number }
  /** It is due, and starts when a thread takes it. */
  | { readonly reason: 'thread' }

/** null: the job does not wait. */
export type WhyWaiting = (job: Pick<JobRecord, 'state' | 'runAt' | 'task'>) => Waiting | null

/** `firstMs` after the first failure, doubled with each further one, and `maxMs` at most. */
export function backOffMs(failures: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** (failures - 1))
}

/** No attempt waits longer for the next one. */
export const maxRetryDelayMs = 60_000
const firstDelayMs = 1_000

/**
 * Wait after attempt `attempt` (1 is the first): exponential backoff with full jitter, uniform in
 * 0 … min(60 s, 1 s · 2^(attempt − 1)), in whole milliseconds.
 * @param random uniform in [0, 1)
 */
export function retryDelayMs(attempt: number, random: () => number = Math.random): number {
  const ceilingMs = backOffMs(attempt, firstDelayMs, maxRetryDelayMs)
  return Math.floor(random() * (ceilingMs + 1))
}

/** A process that is asked to leave within this time of a job's start may have been asked by that job. */
export const soonAfterStartMs = 60_000

/** In how many starts of a job, in a row or not, the process may be asked to leave that soon; each further one is lost. */
export const maxLeftStarts = 20

/** How many starts of a job may be lost to the end of the whole process before it fails as `crashed`. */
export function maxLostStarts(maxAttempts: number): number {
  return Math.max(maxAttempts, 3)
}
