/** A job: its states and their transitions, its record for readers, why it failed or waits, and how long a retry waits. */

/** Stored records hold the index of a state, so add new ones at the end. */
export const jobStates = ['queued', 'running', 'retrying', 'completed', 'failed', 'cancelled', 'blocked'] as const
export type JobState = (typeof jobStates)[number]

const transitions: Record<JobState, readonly JobState[]> = {
  // `failed`: expired.
  queued: ['running', 'cancelled', 'failed'],
  // `queued`: released by its owner, or rescued from a dead process.
  running: ['completed', 'failed', 'cancelled', 'retrying', 'queued'],
  retrying: ['running', 'cancelled'],
  completed: [],
  // Only by a requested retry: of the job itself or, where it is blocked again, of a job that it depends on.
  failed: ['queued'],
  cancelled: ['queued', 'blocked'],
  blocked: ['queued', 'cancelled'],
}

/** @returns `to`. @throws Error for a transition that the table does not have: a defect of ours */
export function moveJob(from: JobState, to: JobState): JobState {
  if (!transitions[from].includes(to)) throw new Error(`a job cannot go from ${from} to ${to}`)
  return to
}

/** Whether the job has ended: only a requested retry can still change it. */
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

/** Why an attempt failed, as it is stored and shown. */
export interface JobError {
  readonly code: JobErrorCode
  readonly message: string
  /** The thrown error's own `name`, `code` and `status`. */
  readonly name?: string
  readonly taskCode?: string | number
  readonly status?: number
  /** The thrown error's `cause`, in the same form. */
  readonly cause?: Omit<JobError, 'code'>
  /** Present when the task, its thread or its process exited with a code. */
  readonly exitCode?: number
  readonly stack?: string
}

/** When a failed attempt ran. Instants are epoch milliseconds. */
export interface FailedAttempt {
  readonly startedAt: number
  readonly finishedAt: number
}

export interface JobFailure extends FailedAttempt {
  readonly attempt: number
  readonly error: JobError
}

/** A step of a job as a store gives it to readers. */
export interface StepRecord {
  readonly name: string
  /** In epoch milliseconds. */
  readonly finishedAt: number
}

/** A start that ended together with its process and spent no attempt, counted or not. Instants are epoch milliseconds. */
export interface LostStart {
  readonly startedAt: number
  /** When the job was queued again: by its process as it left, or by a rescue. */
  readonly takenBackAt: number
}

/** A job as a store gives it to readers, without input and claim. Instants are epoch milliseconds; null: not yet. */
export interface JobRecord {
  readonly index: number
  readonly task: string
  readonly state: JobState
  /** `main`, `worker-N`, `process-N` (a child process of that thread), or null before the first start. */
  readonly thread: string | null
  /** Number of attempts, the current one included; 0 before the first. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly queuedAt: number
  readonly startedAt: number | null
  readonly finishedAt: number | null
  /** When a waiting job is due; null in every other state. */
  readonly runAt: number | null
  /** The latest one; absent: none. */
  readonly lostStart?: LostStart
  /** Indexes of the jobs whose results it needs; absent: none. */
  readonly after?: readonly number[]
  /** Indexes of the jobs that a blocked job still waits for; absent in every other state. */
  readonly waitsFor?: readonly number[]
  /** Paths of the secret members of its input and result; absent: none. */
  readonly secret?: readonly string[]
  /** JSON text; null until completed, and in lists. */
  readonly result: string | null
  readonly error: JobError | null
  readonly failures: readonly JobFailure[]
  /** When the latest failed attempts ran; present only where `failures` is omitted and the times are known. */
  readonly failedAttempts?: readonly FailedAttempt[]
  /** In the order in which they were stored; absent in lists, and where there are none. */
  readonly steps?: readonly StepRecord[]
  /**
   * Present when result, failures, steps and details of the error were omitted because the run is large; a read of the
   * single job has them. `resultBytes` null: there is no result.
   */
  readonly omitted?: { readonly resultBytes: number | null }
}

export interface JobInput {
  /** JSON text; null: the request had no input. */
  readonly input: string | null
  readonly secret?: readonly string[]
}

/** Why a job does not run yet, as far as this process knows. `until` is in epoch milliseconds. */
export type Waiting =
  /** It needs results of other jobs. */
  | { readonly reason: 'blocked' }
  | { readonly reason: 'delay' | 'retry'; readonly until: number }
  /** Its task is paused. */
  | { readonly reason: 'paused' }
  /** This process does not have its task; another process may. */
  | { readonly reason: 'unknown-task' }
  /** The concurrency of its task is used up in this process. */
  | { readonly reason: 'limit'; readonly limit: number }
  /** The rate of its task is used up. */
  | { readonly reason: 'rate'; readonly limit: number; readonly perMs: number; readonly until: number }
  /** It is due and waits for a free thread. */
  | { readonly reason: 'thread' }

/** null: the job does not wait. */
export type WhyWaiting = (job: Pick<JobRecord, 'state' | 'runAt' | 'task'>) => Waiting | null

/** The pause after a number of failures: `firstMs` after the first, doubled with each further one, at most `maxMs`. */
export function backOffMs(failures: number, firstMs: number, maxMs: number): number {
  return Math.min(maxMs, firstMs * 2 ** (failures - 1))
}

/** The longest wait between two attempts. */
export const maxRetryDelayMs = 60_000
const firstRetryDelayMs = 1_000

/**
 * The wait after a failed attempt, in whole milliseconds: exponential backoff with full jitter, uniform in
 * 0 … min(60 s, 1 s · 2^(failures − 1)).
 * @param failures 1 after the first attempt
 * @param random uniform in [0, 1)
 */
export function retryDelayMs(failures: number, random: () => number = Math.random): number {
  const ceilingMs = backOffMs(failures, firstRetryDelayMs, maxRetryDelayMs)
  return Math.floor(random() * (ceilingMs + 1))
}

/** A job may be the reason why its process is asked to leave if that happens within this time after its start. */
export const soonAfterStartMs = 60_000

/** After this many starts with such an end, each further one of the job counts as a lost start. */
export const maxLeftStarts = 20

/** A job fails as `crashed` when this many of its starts are lost. */
export function maxLostStarts(maxAttempts: number): number {
  return Math.max(maxAttempts, 3)
}
