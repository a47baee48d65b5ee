/**
 * Effects of a commit in this process: caches are updated, subscribers and other processes are notified, and the process
 * counts as ready or not.
 */
import { AppError } from '../../../domain/errors.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-requests.ts'
import type { Timing } from '../connection/connection.ts'
import type { Subscribers, WorkNotifier } from '../notifications/notifier.ts'
import type { OwnedClaims } from '../ownership/owned-claims.ts'
import type { SearchIndex } from '../search/index-writer.ts'
import type { RecordCache } from '../statements/records.ts'
import { type Backlog, writerName } from '../statements/totals.ts'
import type { Outcome } from './group-commit.ts'
import { type Operation, withLookup } from './operations.ts'

/** Numbers of the two connections through which a process writes. */
export const writers = { intake: 1, settling: 2 }

interface CommitEffectsOptions {
  readonly process: number
  readonly backlog: Backlog
  readonly cache: RecordCache
  readonly emptyQueues: EmptyQueueCache
  readonly owned: OwnedClaims
  readonly readiness: Readiness
  readonly search: Pick<SearchIndex, 'note'>
  readonly subscribers: Subscribers
  readonly workNotifier: WorkNotifier
}

export type CommitEffects = ReturnType<typeof createCommitEffects>

export function createCommitEffects(options: CommitEffectsOptions) {
  const { process, backlog, cache, emptyQueues, owned, readiness, search, subscribers, workNotifier } = options
  let hasOrphans = false

  /** There may be jobs to claim. */
  function wakeForWork(): void {
    emptyQueues.forget()
    subscribers.work()
  }

  return {
    wakeForWork,
    /** Whether the database may have claims of this process whose jobs do not run here. */
    hasOrphans: (): boolean => hasOrphans,
    /** Call before the search for such claims. */
    clearOrphans(): void {
      hasOrphans = false
    },
    /** Call after a commit, before the next group is sent. */
    committed(outcome: Outcome, operations: readonly Operation[], writer: number): void {
      const { live, written, removed, claimed, voided, requeuedKinds, effects } = outcome
      if (live !== null) backlog.setShare(writerName(process, writer), live)
      if (written.length + removed.length > 0) readiness.noteWritten()
      for (const stored of written) cache.keep(stored)
      if (written.length > 0) search.note(written)
      for (const { id } of removed) cache.forget(id)
      for (const job of claimed) owned.add(job)
      for (const claim of voided) owned.void(claim)
      const hadLostStart = owned.withLostStart().length > 0
      // Also a claim that turned out to be void has ended.
      for (const { settles } of operations) if (settles !== undefined) owned.remove(settles)
      // Other jobs may have waited for a job that ran alone.
      if (hadLostStart && owned.withLostStart().length === 0) wakeForWork()
      if (requeuedKinds.length > 0) emptyQueues.forget(requeuedKinds)
      for (const effect of effects) effect()
    },
    /** Call when the operations of the group have their replies. */
    replied({ changes, asCommitted, newWork, live, isNotified }: Outcome, writer: number): void {
      subscribers.change(changes, asCommitted)
      if (writer === writers.settling) {
        if (newWork === 'due') subscribers.work()
      } else if (live !== null) workNotifier.note(live, isNotified && newWork === 'due' ? 'none' : newWork)
    },
    /** Call when a transaction failed because of the database. */
    unavailable: readiness.noteFailure,
    /** Call when it is unknown whether a transaction was committed, and what it did. */
    unknownCommit(): void {
      hasOrphans = true
      emptyQueues.forget()
    },
  }
}

/**
 * Notes what a claim has found in the queue.
 * @param nextDueAt null: no further job of the kind waits; undefined: the claim did not look for the kind
 * @param atLimit tasks at their limit: further jobs of theirs may be due
 */
export type NoteQueue = (kind: TaskKind, nextDueAt: number | null | undefined, atLimit: readonly string[]) => void

/**
 * Remembers for each kind of task that no job is due in the database: then a claim needs no query. Anything that may
 * queue a job, here or in another process, clears the memory.
 */
export function createEmptyQueueCache() {
  const found = new Map<TaskKind, { readonly nextDueAt: number | null; readonly atLimit: readonly string[] }>()
  /** How often each kind was forgotten. */
  const changes = new Map<TaskKind, number>()

  return {
    /** When the next known job of the kind is due; null: none waits; undefined: one may be due now. */
    nextDueAt(kind: TaskKind, { taskLimits, at }: Pick<ClaimRequest, 'taskLimits' | 'at'>): number | null | undefined {
      const entry = found.get(kind)
      if (entry === undefined || (entry.nextDueAt !== null && entry.nextDueAt <= at)) return undefined
      const isAtLimit = (task: string): boolean => Object.hasOwn(taskLimits, task) && (taskLimits[task] ?? 1) <= 0
      return entry.atLimit.every(isAtLimit) ? entry.nextDueAt : undefined
    },
    /** Call when jobs may have been queued. */
    forget(kinds: readonly TaskKind[] = taskKinds): void {
      for (const kind of kinds) {
        found.delete(kind)
        changes.set(kind, (changes.get(kind) ?? 0) + 1)
      }
    },
    /** Call before a claim is sent. Its finding is not noted if a job is queued in between. */
    beforeQuery(): NoteQueue {
      const before = new Map(changes)
      return (kind, nextDueAt, atLimit) => {
        if (nextDueAt === undefined || before.get(kind) !== changes.get(kind)) return
        found.set(kind, { nextDueAt, atLimit })
      }
    },
  }
}

export type EmptyQueueCache = ReturnType<typeof createEmptyQueueCache>

const tables = [
  'record',
  'payload',
  'queue',
  'holder',
  'run_tag',
  'run_task',
  'idempotency_key',
  'tally',
  'search',
  'search_progress',
  'inbox',
]

const touch = {
  name: 'touch',
  text: `
    WITH own AS (UPDATE process SET heartbeat_at = heartbeat_at WHERE id = $1)
    SELECT bool_and(has_table_privilege(name, privilege)) AS may_write
    FROM unnest(ARRAY['${tables.join("', '")}']) AS name,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege`,
}

function probeOf(process: number): Operation {
  return withLookup('probe', async (query) => {
    const [row] = await query(touch, [process])
    const mayWrite = row?.['may_write'] === true
    const reply = mayWrite ? null : new AppError('store-unavailable', 'the role may not write all tables')
    return { records: [], apply: () => reply }
  })
}

/**
 * Whether this process can commit now: it has committed lately, or a probe through each writing connection succeeds.
 * After a failed commit it is not ready for a while, because a probe is small and may succeed where a run fails.
 * A commit counts as a probe for one round of maintenance.
 */
export function createReadiness(process: number, { roundMs, unreadyMs }: Timing) {
  let writtenAt = -Infinity
  let failure: { readonly error: unknown; readonly at: number } | null = null
  let probing: Promise<unknown> | null = null

  /** Call when a commit failed because of the database. */
  const noteFailure = (error: unknown): void => void (failure = { error, at: performance.now() })

  return {
    /** @param submitAlone of each writer @throws AppError `store-unavailable` */
    async probe(submitAlone: readonly ((operation: Operation) => Promise<unknown>)[]): Promise<void> {
      const now = performance.now()
      if (failure !== null && now - failure.at < unreadyMs) {
        throw new AppError('store-unavailable', 'a commit has failed a moment ago', { cause: failure.error })
      }
      if (now - writtenAt < roundMs) return
      probing ??= Promise.all(submitAlone.map((submit) => submit(probeOf(process)))).finally(() => (probing = null))
      await probing.catch((error: unknown) => {
        noteFailure(error)
        throw error
      })
      writtenAt = performance.now()
    },
    noteFailure,
    /** Call when a transaction that wrote something was committed. */
    noteWritten(): void {
      writtenAt = performance.now()
    },
  }
}

type Readiness = ReturnType<typeof createReadiness>
