/** A job's states, the one table of what may follow what, and the one function that moves it. */
import type { StepRecord } from './step.ts'

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

/** Whether nothing more will happen to the job unless a retry is requested. */
export function isFinalJob(state: JobState): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

/** How many of a run's jobs are in which kind of state. */
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
export interface JobFailure {
  readonly attempt: number
  readonly startedAt: number
  readonly finishedAt: number
  readonly error: JobError
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

/** The most that a progress message may have, in bytes of UTF-8. */
export const maxProgressBytes = 120

/** Why a job does not run yet, as far as the process that answers knows. `until` is in epoch milliseconds. */
export type Waiting =
  /** It needs results of other jobs. */
  | { readonly reason: 'blocked' }
  | { readonly reason: 'delay' | 'retry'; readonly until: number }
  /** No job of its task starts until that is resumed. */
  | { readonly reason: 'paused' }
  /** This process has no such task: one that has it runs the job. */
  | { readonly reason: 'unknown-task' }
  /** As many jobs of its task run here as may at once. */
  | { readonly reason: 'limit'; readonly limit: number }
  /** As many jobs of its task have started as may within its time. */
  | { readonly reason: 'rate'; readonly limit: number; readonly perMs: number; readonly until: number }
  /** It is due, and starts when a thread takes it. */
  | { readonly reason: 'thread' }

/** null: the job does not wait. */
export type WhyWaiting = (job: Pick<JobRecord, 'state' | 'runAt' | 'task'>) => Waiting | null

/** How far a running task is, as it has reported. */
export interface Progress {
  /** From 0 to 1. */
  readonly fraction: number
  /** Empty when the task gave none. */
  readonly message: string
}

export interface JobProgress extends Progress {
  readonly runId: string
  readonly jobIndex: number
}

/** How an attempt ended, as it crosses threads: plain data, never a thrown error. */
export type Outcome =
  | { readonly ok: true; readonly result: string }
  | { readonly ok: false; readonly error: JobError; readonly isRetryable: boolean }

/** `released`: the attempt did not come to an outcome of its own, so it is not spent and the job is handed back. */
export type AttemptOutcome = Outcome | 'released'

/** An attempt that failed and is worth another. */
export function failedBy(error: JobError): Outcome {
  return { ok: false, error, isRetryable: true }
}
