/** What the pool and its threads say to each other. Both ends are ours and of one version. */
import type { AttemptOutcome } from '../domain/job.ts'

/** One attempt, sent to the thread that is to run it; answered by a ThreadAnswer. */
export interface JobMessage {
  readonly type: 'job'
  /** Where in the control block the two sides meet. */
  readonly lane: number
  readonly task: string
  readonly url: string
  readonly input: string | null
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
}

/** Asks whether the thread's loop turns; the answer is null. */
export interface PingMessage {
  readonly type: 'ping'
}

export type ToThread = JobMessage | PingMessage

export interface ThreadAnswer {
  /** `released`: the thread is in doubt and did not begin the job. */
  readonly outcome: AttemptOutcome
  /** Why the thread should take no more jobs; null when it is as good as before. */
  readonly taint: string | null
  /** Whether the jobs that it still runs are in doubt too, because the language itself was changed. */
  readonly isUnsafe: boolean
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** From the thread, at any time: a line for the log. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: LogLevel
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface ThreadData {
  readonly control: SharedArrayBuffer
}
