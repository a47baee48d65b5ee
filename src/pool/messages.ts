/** What the pool and its threads say to each other. Both ends are ours and of one version. */
import type { AttemptOutcome } from '../domain/job.ts'

/** One attempt, sent to the thread that is to run it; answered by a ThreadAnswer of the same id. */
export interface JobMessage {
  readonly id: number
  /** Where in the control block the two sides meet. */
  readonly lane: number
  readonly task: string
  readonly url: string
  readonly input: string | null
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
}

/** Answered when all are over, with those answers that were not told before. */
export interface JobsMessage {
  readonly type: 'jobs'
  readonly jobs: readonly JobMessage[]
}

/** Asks whether the thread's loop turns; the answer is empty. */
export interface PingMessage {
  readonly type: 'ping'
}

export type ToThread = JobsMessage | PingMessage

export interface ThreadAnswer {
  readonly id: number
  /** `released`: the thread did not begin the job, because it was taken back or the thread is in doubt. */
  readonly outcome: AttemptOutcome
  /** Why the thread should take no more jobs; null when it is as good as before. */
  readonly taint: string | null
  /** Whether the jobs that it still runs are in doubt too, because the language itself was changed. */
  readonly isUnsafe: boolean
  /** How long the thread had to do with it, in milliseconds. */
  readonly tookMs: number
}

/** From the thread, at any time: what is over of a batch that is not. */
export interface AnswersMessage {
  readonly type: 'answers'
  readonly answers: readonly ThreadAnswer[]
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** From the thread, at any time: a line for the log. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export type FromThread = AnswersMessage | LogMessage

export interface ThreadData {
  readonly control: SharedArrayBuffer
  /** Whether it runs one job after another. */
  readonly isSequential: boolean
}
