/** What a transaction means to this process: what it knows of the database, and who is notified. */
import { writerName, type Backlog } from './backlog.ts'
import type { Cache } from './cache.ts'
import type { Held } from '../ownership/held.ts'
import type { LaneOptions } from './lane.ts'
import type { Readiness } from '../connection/readiness.ts'
import type { Subscribers } from '../notifications/subscribers.ts'
import type { Waiting } from './waiting.ts'
import type { WorkTeller } from '../notifications/work-teller.ts'

/** Numbers of the two connections through which a process writes. */
export const writers = { intake: 1, settling: 2 }

export interface Aftermath extends Pick<LaneOptions, 'onCommitted' | 'onAnswered' | 'onUnavailable' | 'onDoubt'> {
  /** Whether jobs may be this process's own in the database that nobody here runs. */
  hasOrphans(): boolean
  /** They are about to be looked for. */
  clearOrphans(): void
  /** Somebody has left jobs to claim, or may have. */
  wakeForWork(): void
}

export interface AftermathOptions {
  readonly process: number
  readonly backlog: Backlog
  readonly cache: Cache
  readonly waiting: Waiting
  readonly held: Held
  readonly readiness: Readiness
  readonly subscribers: Subscribers
  readonly workTeller: WorkTeller
}

export function createAftermath(options: AftermathOptions): Aftermath {
  const { process, backlog, cache, waiting, held, readiness, subscribers, workTeller } = options
  let hasOrphans = false

  function wakeForWork(): void {
    waiting.forget()
    subscribers.work()
  }

  return {
    wakeForWork,
    hasOrphans: () => hasOrphans,
    clearOrphans() {
      hasOrphans = false
    },
    onCommitted({ live, written, removed, given, voided, queuedKinds }, operations, writer) {
      if (live !== null) backlog.hear(writerName(process, writer), live)
      if (written.length + removed.length > 0) readiness.noteWritten()
      for (const stored of written) cache.keep(stored)
      for (const { id } of removed) cache.forget(id)
      for (const job of given) held.give(job)
      for (const claim of voided) held.void(claim)
      const ranLost = held.lostOnThreads().length > 0
      // Settled or stale: the claim is over.
      for (const { settles } of operations) if (settles !== undefined) held.take(settles)
      // Where one of them ran, others may have been kept from it.
      if (ranLost && held.lostOnThreads().length === 0) wakeForWork()
      if (queuedKinds.length > 0) waiting.forget(queuedKinds)
      for (const { onCommitted } of operations) onCommitted?.()
    },
    onAnswered({ changes, waiting: left, live, isTold }, writer) {
      subscribers.change(changes)
      if (writer === writers.settling) {
        if (left === 'due') subscribers.work()
      } else if (live !== null) workTeller.note(live, isTold && left === 'due' ? 'none' : left)
    },
    onUnavailable: readiness.noteFailure,
    onDoubt() {
      hasOrphans = true
      waiting.forget()
    },
  }
}
