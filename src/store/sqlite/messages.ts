/** Messages between the engine and its thread. Both are of the same version. */
import type { ProblemCode } from '../../domain/problems.ts'
import type { RunChange } from '../../domain/run.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
import type { Store } from '../store.ts'

// The types, the calls of the engine and `isRead` derive from these lists.
const jobWrites = ['claim', 'complete', 'fail', 'release', 'keepStep', 'cancel', 'retry', 'expire'] as const
const runWrites = ['accept', 'defer', 'remove', 'prune', 'changeSchedule'] as const
const taskWrites = ['setPaused', 'keepLines', 'pruneLines', 'addMinutes', 'pruneMinutes'] as const
const deliveryWrites = ['claimDeliveries', 'endDeliveryTry', 'retryDelivery', 'releaseDeliveries'] as const
const processWrites = ['rescue', 'leave', 'shiftDueTimes', 'checkWritable'] as const
const writeVerbs = [...jobWrites, ...runWrites, ...taskWrites, ...deliveryWrites, ...processWrites] as const
const jobReads = ['getJob', 'getInput', 'countAhead', 'stepsOf'] as const
const runReads = ['getRun', 'listRuns', 'findKey', 'stats', 'chunksOf', 'minutesOf'] as const
const scheduleReads = ['getSchedule', 'listSchedules', 'dueSchedules'] as const
const readVerbs = [...jobReads, ...runReads, ...scheduleReads] as const
export const allVerbs = [...writeVerbs, ...readVerbs]
export type WriteVerb = (typeof writeVerbs)[number]
export type ReadVerb = (typeof readVerbs)[number]
export type Verb = WriteVerb | ReadVerb

const reads: ReadonlySet<Verb> = new Set(readVerbs)

export function isRead(verb: Verb): boolean {
  return reads.has(verb)
}

/** The verbs as the thread runs them: those of the contract, without promises. */
export type Verbs<Names extends Verb = Verb> = {
  readonly [Name in Names]: (...args: Parameters<Store[Name]>) => Awaited<ReturnType<Store[Name]>>
}

export interface Operation {
  readonly verb: Verb
  readonly args: readonly unknown[]
}

export type Reply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly code: ProblemCode; readonly message: string }

/** The outcome of a group of operations. */
export interface Group {
  /** One per operation, in order. */
  readonly replies: readonly Reply[]
  /** In order of commit. */
  readonly changes: readonly RunChange[]
  /** Whether a row was written. If not, the group does not prove that the disk takes writes. */
  readonly hasWritten: boolean
}

export interface ThreadOptions {
  /** Of the file; `:memory:` for a database that ends with the process. */
  readonly path: string
  /** How long to wait for another process to leave the file, in milliseconds. */
  readonly lockWaitMs: number
  /** Tasks that run here: no job of another task is claimed. Default: any. */
  readonly tasks?: readonly string[]
  /** Ends the process when the main thread blocks. Default: nothing watches it. */
  readonly stall?: StallOptions
  /** Whether runs can be found by their words. The index is written some time after the commits. Default: no. */
  readonly hasSearch?: boolean
}

/** To the thread: a group of operations, or `close`. */
export type ToThread = readonly Operation[] | 'close'

/**
 * From the thread, in this order: `in-use` while another process has the file, `open` or `refused`, then one `done` per
 * group, and `closed`. Unreadable records and failures of the search index are reported in between.
 */
export type FromThread =
  | { readonly type: 'in-use'; readonly owner: string }
  | { readonly type: 'open'; readonly backlog: number; readonly paused: readonly string[] }
  | { readonly type: 'refused'; readonly message: string }
  | (Group & { readonly type: 'done'; readonly backlog: number })
  | { readonly type: 'unreadable'; readonly message: string }
  | { readonly type: 'search-failed'; readonly message: string }
  | { readonly type: 'closed' }
