/** Messages between the pool, its threads and its child processes. All ends are ours and of one version. */
import { serialize } from 'node:v8'
import type { AttemptOutcome, ClaimedJob, Progress, Step, StepPage, StepReport } from '../../domain/claim.ts'
import type { LogLevel } from '../../domain/task-history.ts'

/** One attempt, sent to the thread that is to run it; its reply has the same id. */
export interface JobMessage extends Pick<
  ClaimedJob,
  'runId' | 'jobIndex' | 'task' | 'attempt' | 'input' | 'after' | 'steps' | 'traceparent'
> {
  readonly id: number
  /** Where in the control block the two sides meet. */
  readonly slot: number
  readonly url: string
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

/** Replies to step messages; the reply to it is empty. */
export interface StepRepliesMessage {
  readonly type: 'step-replies'
  readonly replies: readonly StepReply[]
}

export type ToThread = JobsMessage | PingMessage | LoadMessage | StepRepliesMessage

export interface LoadReply {
  /** Why the module could not be loaded; null when it was. */
  readonly flaw: string | null
}

export interface JobReply {
  readonly id: number
  /** `released`: the thread did not begin the job, because it was taken back or the thread is in doubt. */
  readonly outcome: AttemptOutcome
  /** Why the thread should take no more jobs; null where it can go on. */
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

/** From the thread, at any time: a job wants a step kept, or its stored steps from a place on. */
export interface StepMessage {
  readonly type: 'step'
  /** Of the job's message. */
  readonly id: number
  /** A number that the thread gives once. */
  readonly call: number
  readonly asked: Step | number
}

/** Another thread may be there by then: it knows neither the job nor the call. */
export interface StepReply {
  readonly id: number
  readonly call: number
  /** As `StepKeeper` says; `failed`: why it could not. */
  readonly value: StepReport | StepPage | null | { readonly failed: string }
}

export type FromThread = RepliesMessage | LogMessage | StepMessage

const levels: readonly unknown[] = ['debug', 'info', 'warn', 'error'] satisfies LogLevel[]

/** @returns null for what the thread's entry never says: a task can get hold of the same port. */
export function readFromThread(message: unknown): FromThread | null {
  if (!isObject(message)) return null
  const { type, level, replies, id, call, asked } = message
  const isReplies = type === 'replies' && Array.isArray(replies) && replies.every(isReply)
  const isStepAsked = isObject(asked)
    ? typeof asked['name'] === 'string' && typeof asked['value'] === 'string'
    : typeof asked === 'number'
  const isStep = type === 'step' && typeof id === 'number' && typeof call === 'number' && isStepAsked
  // Of this form, it is the entry's, which is of the same version.
  return isReplies || isStep || (type === 'log' && levels.includes(level)) ? (message as unknown as FromThread) : null
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

// Further messages between the pool and a child process.

/** Places among the child's files: one for the relay, both ways, and one on which its main thread writes. */
export const relayFile = 3
export const tasksFile = 4

/** To the main thread; its reply has the same number. */
export interface TasksMessage {
  readonly seq: number
  readonly message: ToThread
}

/** To the relay. `next`: the slot is made ready for the job that follows. */
export type RelayMessage =
  | { readonly type: 'next' }
  | { readonly type: 'stop' }
  | { readonly type: 'look'; readonly seq: number }

/** From the relay. */
export interface LookReply {
  readonly seq: number
  /** What the whole process has in memory. */
  readonly rssBytes: number
  readonly progress: Progress | null
}

/** From the main thread, written before it goes on: what came before a crash is there after it. */
export type FromChild =
  | { readonly type: 'hello' }
  | { readonly type: 'reply'; readonly seq: number; readonly reply: unknown }
  /** The job's module is loaded. */
  | { readonly type: 'begun'; readonly startBytes: number }
  /** The job is about to end the process with this code; null: code that an ended job has left running is. */
  | { readonly type: 'exit'; readonly code: number | null }
  | FromThread

const types: ReadonlySet<unknown> = new Set(['hello', 'reply', 'begun', 'exit'])

/** @returns null for what the child's entry never says: a task can write to the same file */
export function readFromChild(value: unknown): FromChild | null {
  const type: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'type') : null
  // Of this form, it is the entry's, which is of the same version.
  return types.has(type) ? (value as FromChild) : readFromThread(value)
}

// A frame: four bytes of length, one that says for whom it is, and the value as V8 serializes it, which costs a text no
// more than a copy.

/** `relay`: for the thread of the child that always listens; `tasks`: for its main thread, which runs tasks. */
export const receivers = { relay: 0, tasks: 1 } as const

export const headBytes = 5
/** A result has 1 MiB of UTF-8 at most; what claims to be longer than any message is none. */
const maxBytes = 1_073_741_824

export function encodeFrame(receiver: number, value: unknown): Buffer {
  const body = serialize(value)
  const frame = Buffer.allocUnsafe(headBytes + body.length)
  frame.writeUInt32LE(body.length, 0)
  frame[headBytes - 1] = receiver
  body.copy(frame, headBytes)
  return frame
}

/** @returns takes bytes as they come; throws at what is no frame */
export function createFrameReader(onFrame: (receiver: number, body: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let length = 0
  /** Bytes that must arrive before the next frame is complete. */
  let needed = headBytes

  return (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    if (length < needed) return
    let rest = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    needed = headBytes
    while (rest.length >= headBytes) {
      const bytes = rest.readUInt32LE(0)
      if (bytes > maxBytes) throw new Error(`a message of ${bytes} bytes`)
      needed = headBytes + bytes
      if (rest.length < needed) break
      onFrame(rest[headBytes - 1] ?? -1, rest.subarray(headBytes, needed))
      rest = rest.subarray(needed)
      needed = headBytes
    }
    chunks = [rest]
    length = rest.length
  }
}
