/** Effects of a commit in this process: caches are updated, and subscribers and other processes are notified. */
import { writerName, type Backlog } from '../statements/totals.ts'
import type { RecordCache } from './record-cache.ts'
import type { OwnedClaims } from '../ownership/owned-claims.ts'
import type { BatchWriterOptions } from './batch-writer.ts'
import type { Readiness } from '../connection/readiness.ts'
import type { Subscribers } from '../notifications/notifier.ts'
import type { SearchIndex } from '../search/index-writer.ts'
import type { EmptyQueueCache } from './empty-queue-cache.ts'
import type { WorkNotifier } from '../notifications/notifier.ts'

/** Numbers of the two connections through which a process writes. */
export const writers = { intake: 1, settling: 2 }

export interface CommitEffects extends Pick<
  BatchWriterOptions,
  'onCommitted' | 'onAnswered' | 'onUnavailable' | 'onUnknownCommit'
> {
  /** Whether the database may have jobs of this process that it does not run. */
  hasOrphans(): boolean
  /** Call before those jobs are looked for. */
  clearOrphans(): void
  /** There may be jobs to claim. */
  wakeForWork(): void
}

export interface CommitEffectsOptions {
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

export function createCommitEffects(options: CommitEffectsOptions): CommitEffects {
  const { process, backlog, cache, emptyQueues, owned, readiness, search, subscribers, workNotifier } = options
  let hasOrphans = false

  function wakeForWork(): void {
    emptyQueues.forget()
    subscribers.work()
  }

  return {
    wakeForWork,
    hasOrphans: () => hasOrphans,
    clearOrphans() {
      hasOrphans = false
    },
    onCommitted({ live, written, removed, given, voided, requeuedKinds }, operations, writer) {
      if (live !== null) backlog.hear(writerName(process, writer), live)
      if (written.length + removed.length > 0) readiness.noteWritten()
      for (const stored of written) cache.keep(stored)
      if (written.length > 0) search.note(written)
      for (const { id } of removed) cache.forget(id)
      for (const job of given) owned.give(job)
      for (const claim of voided) owned.void(claim)
      const ranLost = owned.lostOnThreads().length > 0
      // The claim is over, settled or stale.
      for (const { settles } of operations) if (settles !== undefined) owned.take(settles)
      // Other jobs may have waited for a job that ran alone.
      if (ranLost && owned.lostOnThreads().length === 0) wakeForWork()
      if (requeuedKinds.length > 0) emptyQueues.forget(requeuedKinds)
      for (const { onCommitted } of operations) onCommitted?.()
    },
    onAnswered({ changes, newWork, live, isNotified }, writer) {
      subscribers.change(changes)
      if (writer === writers.settling) {
        if (newWork === 'due') subscribers.work()
      } else if (live !== null) workNotifier.note(live, isNotified && newWork === 'due' ? 'none' : newWork)
    },
    onUnavailable: readiness.noteFailure,
    onUnknownCommit() {
      hasOrphans = true
      emptyQueues.forget()
    },
  }
}
