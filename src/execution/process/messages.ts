/** What the pool and a child process say to each other, beside what it says to a thread. Both are of one version. */
import type { Progress } from '../../domain/claim.ts'
import { readFromThread, type FromThread, type ToThread } from '../pool/messages.ts'

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
  /** The job is about to end the process; null: what is left of one that has ended is. */
  | { readonly type: 'exit'; readonly code: number | null }
  | FromThread

const types: ReadonlySet<unknown> = new Set(['hello', 'reply', 'begun', 'exit'])

/** @returns null for what the child's entry never says: a task can write to the same file */
export function readFromChild(value: unknown): FromChild | null {
  const type: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, 'type') : null
  // Of this form, it is the entry's, which is of the same version.
  return types.has(type) ? (value as FromChild) : readFromThread(value)
}
