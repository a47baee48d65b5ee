/**
 * A group of operations as one transaction. If every record that it needs is in memory, the group is one statement, which
 * writes nothing if one of the records is outdated. Otherwise it locks and reads the records first, and writes together
 * with the commit. Every transaction locks in one order, so that no two wait for each other: keys, requests of the inbox,
 * records by id. A claim waits for no lock: it skips records and rates that are locked.
 */
import { type ClaimedJob, jobKey } from '../../../domain/claim.ts'
import type { RunRecord } from '../../../domain/run.ts'
import { asksForAnswer } from '../../../domain/run/new-run.ts'
import { changeOf } from '../../../domain/run/verbs.ts'
import type { TaskKind } from '../../../domain/task.ts'
import type { KnownKey } from '../../store.ts'
import { liveOf } from '../../totals.ts'
import type { Connection, Query } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { encodeNotification } from '../notifications/codec.ts'
import { claimKeys } from '../statements/idempotency-keys.ts'
import { claimRequests } from '../statements/inbox.ts'
import { shownWhole } from '../statements/read.ts'
import { lockNamed, type RecordCache } from '../statements/records.ts'
import { hasWrites, Outdated, saveWrites } from '../statements/save.ts'
import { shareOfWriter, type Writer } from '../statements/totals.ts'
import type { Context, Lookup, LookupResult, Operation } from './operations.ts'
import { createUnitOfWork, type Stored, type UnitOfWork, type Writes } from './unit-of-work.ts'

/** The writing connection, and its process. */
interface Sender extends Writer {
  readonly channel: string
  /** The writer's share of the backlog: jobs it added less jobs it ended. Negative if it ends jobs of other writers. */
  readonly share: number
  /** Whether other processes may exist. */
  readonly hasOthers: boolean
}

interface Group {
  readonly operations: readonly Operation[]
  readonly sender: Sender
  readonly cache: RecordCache
  /** Whether the group was sent before, and may have been committed. */
  readonly isRepeat: boolean
  /** Whether the task is paused, as far as this process knows. */
  readonly isPaused: (task: string) => boolean
}

interface Plan {
  /** The reply to each operation; an error rejects it. */
  readonly replies: readonly unknown[]
  /** Jobs that were claimed for this process. */
  readonly claimed: readonly ClaimedJob[]
  /** Called after the commit. */
  readonly effects: readonly (() => void)[]
  readonly writes: Writes
}

/** The result of a committed transaction. */
export interface Outcome extends Omit<Plan, 'writes'>, Pick<Writes, 'changes' | 'voided' | 'removed' | 'newWork'> {
  /** A run that was written, for readers; null if some of its texts have to be read. */
  readonly asCommitted: (runId: string) => RunRecord | null
  /** The records as they were written. */
  readonly written: readonly Stored[]
  /** The sender's share of the backlog after the commit; null if nothing was counted. */
  readonly share: number | null
  /** Kinds whose next due time may have changed: a job was queued, or a job that was due later left the queue unclaimed. */
  readonly requeuedKinds: readonly TaskKind[]
  /** Whether the commit has notified other processes. */
  readonly isNotified: boolean
}

/** The connection was lost during the commit, which may have taken place. */
export class UnknownCommit extends Error {
  override readonly name = 'UnknownCommit'
}

const begin = { name: 'begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED' }
const end = { name: 'commit', text: 'COMMIT' }
const rollBack = { name: 'rollback', text: 'ROLLBACK' }

/** @throws UnknownCommit @throws StartPaused @throws DatabaseFailure */
export async function commitGroup(connection: Connection, group: Group): Promise<Outcome> {
  const lookups = new Map<Operation, Lookup>()
  for (const operation of group.operations) {
    const lookup = operation.lookup?.() ?? null
    if (lookup !== null) lookups.set(operation, lookup)
  }
  const runIds = runIdsOf(group)
  const planned = lookups.size === 0 ? planFromCache(group, runIds) : null
  if (planned !== null) {
    try {
      return await save(connection.query, group, planned, null)
    } catch (error) {
      if (!(error instanceof Outdated)) throw error
      for (const id of runIds) group.cache.forget(id)
    }
  }
  return commitLocked(connection, group, runIds, lookups)
}

function runIdsOf({ operations, isRepeat }: Group): string[] {
  const ids = operations.flatMap(({ runIds, accepts }) => [...runIds, ...(isRepeat && accepts ? [accepts.run.id] : [])])
  return [...new Set(ids)]
}

/** Returns null if the group needs rows that are not in memory. */
function planFromCache(group: Group, runIds: readonly string[]): Plan | null {
  const { operations, cache, isRepeat } = group
  const hasKeys = operations.some(({ accepts }) => accepts?.run.idempotency || accepts?.run.isFromInbox)
  const cached = runIds.flatMap((id) => cache.get(id) ?? [])
  if (isRepeat || hasKeys || cached.length < runIds.length) return null
  const planned = plan(group, createUnitOfWork(cached))
  // The statement compares only the revisions of changed records. An unchanged record, and with it the reply, may be
  // outdated.
  return planned.writes.changed.length === runIds.length ? planned : null
}

/** All reads, then all writes with the commit: two trips to the server, and more if a lookup needs what it has read before. */
async function commitLocked(
  { query, together, isOpen }: Connection,
  group: Group,
  runIds: readonly string[],
  lookups: ReadonlyMap<Operation, Lookup>,
): Promise<Outcome> {
  const { operations, sender, cache, isRepeat } = group
  try {
    const acceptances = operations.flatMap(({ accepts }) => accepts ?? [])
    const [, share, known, takenUp, loaded, ...found] = await Promise.all([
      query(begin),
      isRepeat ? shareOfWriter(query, sender) : null,
      claimKeys(query, acceptances),
      claimRequests(query, acceptances),
      runIds.length === 0 ? [] : lockNamed(query, runIds, cache.get),
      ...[...lookups.values()].map((lookup) => lookup(query)),
    ])
    const unit = createUnitOfWork([...loaded, ...found.flatMap(({ records }) => records)])
    const results = new Map([...lookups.keys()].map((operation, index) => [operation, found[index]]))
    const planned = plan(group, unit, new Map([...known, ...takenUp]), results)
    const outcome = await together(() => save(query, group, planned, end))
    if (!isRepeat) return outcome
    // If the group was committed when it was first sent, that commit notified other processes, but no subscriber here.
    const missed = unit.loaded().map((run) => changeOf(run, run))
    return { ...outcome, share: outcome.share ?? share, changes: [...outcome.changes, ...missed] }
  } catch (error) {
    if (isOpen()) await query(rollBack).catch(() => {})
    throw error
  }
}

function plan(
  { operations, sender: { processId }, isRepeat }: Group,
  unit: UnitOfWork,
  replayed: ReadonlyMap<string, KnownKey> = new Map(),
  results: ReadonlyMap<Operation, LookupResult | undefined> = new Map(),
): Plan {
  const claimed: ClaimedJob[] = []
  const effects: (() => void)[] = []
  const context: Context = {
    processId,
    replayed,
    isRepeat,
    addClaimed: (job) => void claimed.push(job),
    onCommitted: (effect) => void effects.push(effect),
  }
  const replies = new Map<Operation, unknown>()
  // Claims come last, so that they can take jobs of runs that this group accepts.
  const inOrder = operations.toSorted((one, other) => Number(one.verb === 'claim') - Number(other.verb === 'claim'))
  for (const operation of inOrder) {
    const { apply } = results.get(operation) ?? operation
    replies.set(operation, apply(unit, context))
  }
  return { replies: operations.map((operation) => replies.get(operation)), claimed, effects, writes: unit.finish() }
}

async function save(query: Query, group: Group, planned: Plan, commit: typeof end | null): Promise<Outcome> {
  const { sender } = group
  const { writes, ...plannedOutcome } = planned
  const { changes, voided, removed, newWork } = writes
  const added = new Map(writes.added.map((run) => [run.id, run]))
  const knownChanges = changes.filter(({ runId }) => !added.has(runId))
  // A commit that only accepts notifies nobody: PostgreSQL commits one transaction with notifications at a time.
  const isNotified = knownChanges.length > 0 && sender.hasOthers
  const messages = isNotified ? messagesOf(sender, { ...writes, changes: knownChanges }) : []
  const sent = hasWrites(writes)
    ? saveWrites(query, sender, writes, { channel: sender.channel, messages, starting: startingTasks(group, planned) })
    : { share: null }
  const [{ share }] = await Promise.all([sent, commit && query(commit)]).catch((error: unknown) => {
    throw isFailure(error, 'lost')
      ? new UnknownCommit('the connection was lost during a commit', { cause: error })
      : error
  })
  return {
    ...plannedOutcome,
    changes,
    voided,
    removed,
    newWork,
    asCommitted(runId) {
      const run = added.get(runId) ?? writes.changed.find((changed) => changed.run.id === runId)?.run
      return run === undefined ? null : shownWhole(run)
    },
    written: [
      ...writes.added.map((run) => ({ run, revision: 1 })),
      ...writes.changed.map(({ run, revision }) => ({ run, revision: revision + 1 })),
    ],
    share,
    requeuedKinds: requeuedKinds(writes, planned.claimed),
    isNotified,
  }
}

/** The tasks of claimed jobs, and of accepted first jobs whose callers wait: a first job may start after the commit. */
function startingTasks({ operations, isPaused }: Group, { claimed, writes }: Plan): string[] {
  const added = new Set(writes.added.map(({ id }) => id))
  const firstTasks = operations.flatMap(({ accepts }) =>
    accepts && asksForAnswer(accepts.run) && added.has(accepts.run.id) ? (accepts.run.jobs[0]?.task ?? []) : [],
  )
  return [...new Set([...claimed.map(({ task }) => task), ...firstTasks.filter((task) => !isPaused(task))])]
}

function requeuedKinds({ queued, unqueued }: Writes, claimed: readonly ClaimedJob[]): TaskKind[] {
  const later = unqueued.filter(({ isDue }) => !isDue)
  const claimedKeys = new Set(later.length === 0 ? [] : claimed.map(jobKey))
  return [...new Set([...queued, ...later.filter((row) => !claimedKeys.has(jobKey(row)))].map(({ kind }) => kind))]
}

function messagesOf({ processId, writer, share }: Sender, { changes, voided, newWork, totals }: Writes): string[] {
  const shareAfter = share + liveOf(totals)
  const hasWork = newWork === 'due'
  return encodeNotification({ type: 'commit', from: processId, writer, share: shareAfter, hasWork, changes, voided })
}
