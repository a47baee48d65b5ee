/**
 * Effects of a commit in this process: caches are updated, subscribers and other processes are notified, and the process
 * counts as able to commit, or not.
 */
import { AppError } from '../../../domain/errors.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-requests.ts'
import type { Limits } from '../connection/connection.ts'
import type { Subscribers, WorkNotifier } from '../notifications/notifier.ts'
import type { OwnedClaims } from '../ownership/owned-claims.ts'
import type { SearchIndex } from '../search/index-writer.ts'
import type { RecordCache } from '../statements/records.ts'
import { type Backlog, writerName } from '../statements/totals.ts'
import type { Outcome } from './group-commit.ts'
import { lookingFor, type Operation } from './operations.ts'

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
    /** Whether the database may have jobs of this process that it does not run. */
    hasOrphans: (): boolean => hasOrphans,
    /** Call before those jobs are looked for. */
    clearOrphans(): void {
      hasOrphans = false
    },
    /** After a commit, before the next group is sent. */
    committed(outcome: Outcome, operations: readonly Operation[], writer: number): void {
      const { live, written, removed, given, voided, requeuedKinds, effects } = outcome
      if (live !== null) backlog.hear(writerName(process, writer), live)
      if (written.length + removed.length > 0) readiness.noteWritten()
      for (const stored of written) cache.keep(stored)
      if (written.length > 0) search.note(written)
      for (const { id } of removed) cache.forget(id)
      for (const job of given) owned.give(job)
      for (const claim of voided) owned.void(claim)
      const hadLostStart = owned.withLostStart().length > 0
      // The claim is over, settled or stale.
      for (const { settles } of operations) if (settles !== undefined) owned.take(settles)
      // Other jobs may have waited for a job that ran alone.
      if (hadLostStart && owned.withLostStart().length === 0) wakeForWork()
      if (requeuedKinds.length > 0) emptyQueues.forget(requeuedKinds)
      for (const effect of effects) effect()
    },
    /** After the replies of its operations are scheduled. */
    answered({ changes, asCommitted, newWork, live, isNotified }: Outcome, writer: number): void {
      subscribers.change(changes, asCommitted)
      if (writer === writers.settling) {
        if (newWork === 'due') subscribers.work()
      } else if (live !== null) workNotifier.note(live, isNotified && newWork === 'due' ? 'none' : newWork)
    },
    /** A transaction failed because of the database. */
    unavailable: readiness.noteFailure,
    /** It is unknown whether a transaction was committed, and what it did. */
    unknownCommit(): void {
      hasOrphans = true
      emptyQueues.forget()
    },
  }
}

/** @param nextDueAt null: no job of the kind waits; undefined: it was not looked for. @param atLimit tasks at their limits */
export type Learn = (kind: TaskKind, nextDueAt: number | null | undefined, atLimit: readonly string[]) => void

interface Known {
  readonly nextDueAt: number | null
  /** Jobs of these tasks may be due: their tasks had reached their limits. */
  readonly atLimit: readonly string[]
}

/**
 * Remembers for each kind of task that no job is due in the database: then a claim needs no query. Anything that may
 * queue a job, here or in another process, clears the memory.
 */
export function createEmptyQueueCache() {
  const known = new Map<TaskKind, Known>()
  const changes = new Map<TaskKind, number>()

  return {
    /** When the next known job of this kind is due; null: none waits; undefined: one may be due now. */
    nextDueAt(kind: TaskKind, { taskLimits, at }: Pick<ClaimRequest, 'taskLimits' | 'at'>): number | null | undefined {
      const found = known.get(kind)
      if (found === undefined || (found.nextDueAt !== null && found.nextDueAt <= at)) return undefined
      const limits = new Map(Object.entries(taskLimits))
      return found.atLimit.every((task) => (limits.get(task) ?? 1) <= 0) ? found.nextDueAt : undefined
    },
    /** Jobs may have been queued. */
    forget(kinds: readonly TaskKind[] = taskKinds): void {
      for (const kind of kinds) {
        known.delete(kind)
        changes.set(kind, (changes.get(kind) ?? 0) + 1)
      }
    },
    /** Call before a claim is sent, and the result with what the claim found; a job queued in between voids the finding. */
    look(): Learn {
      const before = new Map(changes)
      return (kind, nextDueAt, atLimit) => {
        if (nextDueAt === undefined || before.get(kind) !== changes.get(kind)) return
        known.set(kind, { nextDueAt, atLimit })
      }
    },
  }
}

export type EmptyQueueCache = ReturnType<typeof createEmptyQueueCache>

const touch = {
  name: 'touch',
  text: `
    WITH own AS (UPDATE process SET heartbeat_at = heartbeat_at WHERE id = $1)
    SELECT bool_and(has_table_privilege(name, privilege)) AS may_write
    FROM unnest(ARRAY['record', 'payload', 'queue', 'holder', 'run_tag', 'run_task', 'idempotency_key', 'tally', 'search', 'search_progress', 'inbox']) AS name,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege`,
}

function probeOf(process: number): Operation {
  return lookingFor('probe', async (query) => {
    const [row] = await query(touch, [process])
    const mayWrite = row?.['may_write'] === true
    const refusal = mayWrite ? null : new AppError('store-unavailable', 'the role may not write all tables')
    return { records: [], apply: () => refusal }
  })
}

/**
 * Whether this process can commit now: it has committed lately, or a probe through each writing connection succeeds.
 * After a failed commit it counts as unready for a while, because a probe is small and may succeed where a run fails.
 * A commit counts as a probe for one round.
 */
export function createReadiness(process: number, { roundMs, unreadyMs }: Limits) {
  let writtenAt = -Infinity
  let failure: { readonly error: unknown; readonly at: number } | null = null
  let probing: Promise<unknown> | null = null

  /** A commit failed because of the database. */
  const noteFailure = (error: unknown): void => void (failure = { error, at: performance.now() })

  return {
    /** @throws AppError `store-unavailable` */
    async probe(askAlone: readonly ((operation: Operation) => Promise<unknown>)[]): Promise<void> {
      const now = performance.now()
      if (failure !== null && now - failure.at < unreadyMs) {
        throw new AppError('store-unavailable', 'a commit has failed a moment ago', { cause: failure.error })
      }
      if (now - writtenAt < roundMs) return
      probing ??= Promise.all(askAlone.map((ask) => ask(probeOf(process)))).finally(() => (probing = null))
      await probing.catch((error: unknown) => {
        noteFailure(error)
        throw error
      })
      writtenAt = performance.now()
    },
    noteFailure,
    /** A transaction that wrote something was committed. */
    noteWritten(): void {
      writtenAt = performance.now()
    },
  }
}

export type Readiness = ReturnType<typeof createReadiness>
