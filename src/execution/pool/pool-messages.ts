/** Messages between the pool, its threads and its child processes. All ends are of the same version. */
import { serialize } from 'node:v8'
import type { AttemptOutcome, ClaimedJob, Progress, Step, StepPage, StepReport } from '../../domain/claim.ts'
import type { LogLevel } from '../../domain/task-history.ts'
import { isObject } from '../../runtime/primordials.ts'

/** One attempt, sent to its thread; the reply has the same id. */
export interface JobMessage extends Pick<
  ClaimedJob,
  'runId' | 'jobIndex' | 'task' | 'attempt' | 'input' | 'after' | 'steps' | 'traceparent'
> {
  readonly id: number
  /** Its slot in the control block. */
  readonly slot: number
  readonly url: string
}

/** The reply comes when all jobs are over: a list of JobReply, without those that a RepliesMessage has brought. */
export interface JobsMessage {
  readonly type: 'jobs'
  readonly jobs: readonly JobMessage[]
}

/** Asks whether the thread's loop turns; the reply is empty. */
export interface PingMessage {
  readonly type: 'ping'
}

/** Loads a task's module; the reply is a LoadReply. */
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

export interface Taint {
  readonly reason: string
  /** Whether a built-in was changed, so that the results of other jobs on the thread could be wrong. */
  readonly isUnsafe: boolean
}

export interface JobReply {
  readonly id: number
  /** `released`: the attempt is not spent. */
  readonly outcome: AttemptOutcome
  /** Why the thread should take no more jobs; null when it can go on. */
  readonly taint: Taint | null
  /** How long the thread worked on the job, in milliseconds. */
  readonly tookMs: number
}

/** The reply to a job that was not begun. */
export function unspentReply(id: number): JobReply {
  return { id, outcome: 'released', taint: null, tookMs: 0 }
}

/** From the thread, at any time: replies to jobs of a message whose other jobs still run. */
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

/** From the thread, at any time: a job keeps a step, or reads its stored steps from an index on. */
export interface StepMessage {
  readonly type: 'step'
  /** Of the job's message. */
  readonly id: number
  /** Unique on the thread. */
  readonly call: number
  readonly asked: Step | number
}

/** Can reach the next thread, which ignores it: no job there has this id. */
export interface StepReply {
  readonly id: number
  readonly call: number
  /** What the StepKeeper returned; `failed`: the message of its error. */
  readonly value: StepReport | StepPage | null | { readonly failed: string }
}

export type FromThread = RepliesMessage | LogMessage | StepMessage

const levels: readonly unknown[] = ['debug', 'info', 'warn', 'error'] satisfies LogLevel[]

/** @returns null for a message that the thread's entry never sends: a task can get hold of the same port */
export function readFromThread(message: unknown): FromThread | null {
  if (!isObject(message)) return null
  const { type, level, replies, id, call, asked } = message
  const isReplies = type === 'replies' && Array.isArray(replies) && replies.every(isReply)
  const isStepAsked = isObject(asked)
    ? typeof asked['name'] === 'string' && typeof asked['value'] === 'string'
    : typeof asked === 'number'
  const isStep = type === 'step' && typeof id === 'number' && typeof call === 'number' && isStepAsked
  // The form shows that the entry sent it, which is of the same version.
  return isReplies || isStep || (type === 'log' && levels.includes(level)) ? (message as unknown as FromThread) : null
}

function isReply(value: unknown): boolean {
  if (!isObject(value)) return false
  const { id, outcome, taint, tookMs } = value
  const isOutcome = outcome === 'released' || (isObject(outcome) && typeof outcome['ok'] === 'boolean')
  const isTaint = taint === null || (isObject(taint) && typeof taint['reason'] === 'string')
  return typeof id === 'number' && isOutcome && isTaint && typeof tookMs === 'number' && tookMs >= 0
}

export interface ThreadData {
  readonly control: SharedArrayBuffer
  /** Whether the thread runs one job after another. */
  readonly isSequential: boolean
}

// Further messages between the pool and a child process.

/** File descriptors of the child: both ways to its relay thread, and from its main thread. */
export const relayDescriptor = 3
export const mainDescriptor = 4

/** To the main thread of the child; its reply has the same number. */
export interface MainMessage {
  readonly seq: number
  readonly message: ToThread
}

/** To the relay. `next`: prepare the slot for the next job; `measure`: reply with a Measurement. */
export type RelayMessage =
  | { readonly type: 'next' }
  | { readonly type: 'stop' }
  | { readonly type: 'measure'; readonly seq: number }

/** From the relay. */
export interface Measurement {
  readonly seq: number
  /** Memory of the whole process. */
  readonly rssBytes: number
  readonly progress: Progress | null
}

/** From the main thread of the child, which writes it before it goes on: a crash loses no message. */
export type FromChild =
  | { readonly type: 'hello' }
  | { readonly type: 'reply'; readonly seq: number; readonly reply: unknown }
  /** The job's module is loaded. */
  | { readonly type: 'begun'; readonly startBytes: number }
  /** The current job, or code that an ended job left running, is about to end the process. */
  | { readonly type: 'exit'; readonly by: 'job' | 'endedJob' }
  | FromThread

const types: ReadonlySet<unknown> = new Set(['hello', 'reply', 'begun', 'exit'])

/** @returns null for a message that the child's entry never sends: a task can write to the same descriptor */
export function readFromChild(message: unknown): FromChild | null {
  // The form shows that the entry sent it, which is of the same version.
  return isObject(message) && types.has(message['type']) ? (message as FromChild) : readFromThread(message)
}

// A frame: four bytes of length, one byte for the receiver, and the value as V8 serializes it, which costs a text no more
// than a copy.

/** Threads of the child: the relay always listens, and the main thread runs tasks. */
export const receivers = { relay: 0, main: 1 } as const

export const headBytes = 5
/** Far above the longest message; a task's own bytes can claim any length. */
const maxBytes = 1_073_741_824

export function encodeFrame(receiver: number, value: unknown): Buffer {
  const body = serialize(value)
  const frame = Buffer.allocUnsafe(headBytes + body.length)
  frame.writeUInt32LE(body.length, 0)
  frame[headBytes - 1] = receiver
  body.copy(frame, headBytes)
  return frame
}

/** @returns reads bytes as they arrive; throws at bytes that are no frame */
export function createFrameReader(onFrame: (receiver: number, body: Buffer) => void): (chunk: Buffer) => void {
  let chunks: Buffer[] = []
  let length = 0
  let needed = headBytes

  return (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    if (length < needed) return
    let rest = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    for (needed = bytesNeeded(rest); rest.length >= needed; needed = bytesNeeded(rest)) {
      onFrame(rest[headBytes - 1] ?? -1, rest.subarray(headBytes, needed))
      rest = rest.subarray(needed)
    }
    chunks = [rest]
    length = rest.length
  }
}

/** The length of the frame that begins here; of its head, before that has arrived. */
function bytesNeeded(bytes: Buffer): number {
  if (bytes.length < headBytes) return headBytes
  const bodyBytes = bytes.readUInt32LE(0)
  if (bodyBytes > maxBytes) throw new Error(`a message of ${bodyBytes} bytes`)
  return headBytes + bodyBytes
}
