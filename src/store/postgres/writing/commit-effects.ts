/**
 * Effects of a commit in this process: caches are updated, subscribers and other processes are notified. One of the caches
 * is here, because every effect that may queue a job clears it: for which kinds of task no job is due.
 */
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-requests.ts'
import { createWorkNotifier } from '../notifications/notifier.ts'
import type { Parts } from '../parts.ts'
import { writerName } from '../statements/totals.ts'
import type { Outcome } from './group-commit.ts'
import type { Operation } from './operations.ts'

/** Numbers of the two connections through which a process writes. */
export const writers = { intake: 1, settling: 2 }

export type CommitEffects = ReturnType<typeof createCommitEffects>

export function createCommitEffects(parts: Parts) {
  const { processId, backlog, cache, owned, readiness, search, subscribers } = parts
  const emptyQueues = createEmptyQueueCache()
  const workNotifier = createWorkNotifier(processId, writers.intake, parts.notifyOthers)
  /** Whether the database may have claims of this process whose jobs do not run here. */
  let hasOrphans = false

  /** There may be jobs to claim. */
  function wakeForWork(): void {
    emptyQueues.forget()
    subscribers.work()
  }

  return {
    emptyQueues,
    wakeForWork,
    hasOrphans: (): boolean => hasOrphans,
    /** Call before the search for such claims. */
    clearOrphans(): void {
      hasOrphans = false
    },
    /** Call after a commit, before the next group is sent. */
    committed(outcome: Outcome, operations: readonly Operation[], writer: number): void {
      const { share, written, removed, claimed, voided, requeuedKinds, effects } = outcome
      if (share !== null) backlog.setShare(writerName(processId, writer), share)
      if (written.length + removed.length > 0) readiness.noteWritten()
      for (const stored of written) cache.keep(stored)
      if (written.length > 0) search.note(written)
      for (const { id } of removed) cache.forget(id)
      for (const job of claimed) owned.add(job)
      for (const claim of voided) owned.markVoid(claim)
      const hadLostStart = owned.withLostStart().length > 0
      // Also a claim that turned out to be void has ended.
      for (const { settles } of operations) if (settles !== undefined) owned.remove(settles)
      // Other jobs may have waited for a job that ran alone.
      if (hadLostStart && owned.withLostStart().length === 0) wakeForWork()
      if (requeuedKinds.length > 0) emptyQueues.forget(requeuedKinds)
      for (const effect of effects) effect()
    },
    /** Call when the operations of the group have their replies. */
    replied({ changes, asCommitted, newWork, share, isNotified }: Outcome, writer: number): void {
      subscribers.change(changes, asCommitted)
      // A commit that changes known runs has notified other processes itself: each one that settles, and few that accept.
      if (writer === writers.settling) {
        if (newWork === 'due') subscribers.work()
      } else if (share !== null) workNotifier.note(share, isNotified && newWork === 'due' ? 'none' : newWork)
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
