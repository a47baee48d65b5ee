/** What the pool and its threads say to each other. Both ends are ours and of one version. */
import type { AttemptOutcome } from '../../domain/job.ts'
import type { LogLevel } from '../task-log.ts'

/** One attempt, sent to the thread that is to run it; its reply has the same id. */
export interface JobMessage {
  readonly id: number
  /** Where in the control block the two sides meet. */
  readonly slot: number
  readonly task: string
  readonly url: string
  readonly input: string | null
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
  /** Results of the jobs that it has waited for, as JSON texts; absent where there are none. */
  readonly after?: readonly string[]
  /** Absent without a trace. */
  readonly traceparent?: string
}

/** Its replies come when all jobs are over, except those that were sent before. */
export interface JobsMessage {
  readonly type: 'jobs'
  readonly jobs: readonly JobMessage[]
}

/** Asks whether the thread's loop turns; the reply is empty. */
export interface PingMessage {
  readonly type: 'ping'
}

/** Has a task's module loaded; replied to by a LoadReply. */
export interface LoadMessage {
  readonly type: 'load'
  readonly task: string
  readonly url: string
}

export type ToThread = JobsMessage | PingMessage | LoadMessage

export interface LoadReply {
  /** Why the module could not be loaded; null when it was. */
  readonly flaw: string | null
}

export interface JobReply {
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
export interface RepliesMessage {
  readonly type: 'replies'
  readonly replies: readonly JobReply[]
}

/** From the thread, at any time: a line for the log. */
export interface LogMessage {
  readonly type: 'log'
  readonly level: LogLevel
  readonly message: string
  readonly fields: object
}

export type FromThread = RepliesMessage | LogMessage

const levels: readonly unknown[] = ['debug', 'info', 'warn', 'error'] satisfies LogLevel[]

/** @returns null for what the thread's entry never says: a task can get hold of the same port. */
export function readFromThread(message: unknown): FromThread | null {
  if (!isObject(message)) return null
  const { type, level, replies } = message
  const isReplies = type === 'replies' && Array.isArray(replies) && replies.every(isReply)
  // Of this form, it is the entry's, which is of the same version.
  return isReplies || (type === 'log' && levels.includes(level)) ? (message as unknown as FromThread) : null
}

function isReply(value: unknown): boolean {
  if (!isObject(value)) return false
  const { id, outcome } = value
  return typeof id === 'number' && (outcome === 'released' || (isObject(outcome) && typeof outcome['ok'] === 'boolean'))
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

export interface ThreadData {
  readonly control: SharedArrayBuffer
  /** Whether it runs one job after another. */
  readonly isSequential: boolean
}
