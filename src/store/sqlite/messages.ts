/** Messages between the engine and its thread. Both ends are of the same version. */
import type { ProblemCode } from '../../domain/problems.ts'
import type { RunChange } from '../../domain/run.ts'
import type { StallOptions } from '../../runtime/stall-watch.ts'
import type { Store } from '../store.ts'

/** The lists behind the types, the calls of the engine and `isRead`, so that no read runs as a write. */
const writeVerbs = [
  'accept',
  'claim',
  'complete',
  'fail',
  'release',
  'keepStep',
  'keepLines',
  'pruneLines',
  'addMinutes',
  'pruneMinutes',
  'expire',
  'defer',
  'cancel',
  'retry',
  'remove',
  'leave',
  'rescue',
  'prune',
  'shiftDueTimes',
  'setPaused',
  'checkWritable',
  'claimDeliveries',
  'endDeliveryTry',
  'retryDelivery',
  'releaseDeliveries',
  'changeSchedule',
] as const
const readVerbs = [
  'getRun',
  'getJob',
  'getInput',
  'countAhead',
  'stepsOf',
  'chunksOf',
  'minutesOf',
  'listRuns',
  'findKey',
  'stats',
  'getSchedule',
  'listSchedules',
  'dueSchedules',
] as const
export const allVerbs = [...writeVerbs, ...readVerbs]
export type WriteVerb = (typeof writeVerbs)[number]
export type ReadVerb = (typeof readVerbs)[number]
export type Verb = WriteVerb | ReadVerb

const reads: ReadonlySet<Verb> = new Set(readVerbs)

export function isRead(verb: Verb): boolean {
  return reads.has(verb)
}

/** The verbs as the thread runs them: the contract's, without the promise. */
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
  /** Committed changes, in order of commit. */
  readonly changes: readonly RunChange[]
  /** Whether anything was written: an operation that changes nothing does not show that the disk takes writes. */
  readonly hasWritten: boolean
}

export interface ThreadOptions {
  /** `:memory:` or a file's path. */
  readonly path: string
  readonly lockWaitMs: number
  readonly owner: string
  /** That run here; null: any. */
  readonly tasks: readonly string[] | null
  /** null: nobody watches the main thread. */
  readonly stall: StallOptions | null
  readonly hasSearch: boolean
}

/** To the thread: a group of operations, or `close`. */
export type ToThread = readonly Operation[] | 'close'

/**
 * From the thread: the process that opening waits for, how it went, then one reply per group, in order; `closed` is the
 * last. Between them it reports each record that cannot be read, and failures to write the search index.
 */
export type FromThread =
  | { readonly type: 'waiting'; readonly owner: string }
  | { readonly type: 'open'; readonly backlog: number; readonly paused: readonly string[] }
  | { readonly type: 'refused'; readonly message: string }
  | (Group & { readonly type: 'done'; readonly backlog: number })
  | { readonly type: 'unreadable'; readonly message: string }
  | { readonly type: 'search-failed'; readonly message: string }
  | { readonly type: 'closed' }
