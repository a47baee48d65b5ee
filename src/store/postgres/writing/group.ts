/**
 * A group of operations as one transaction. Where every record that it needs is in memory it is one statement, which
 * writes nothing if one of them is outdated; else records are locked and read first, and everything is written together
 * with the commit. Locks are taken in one order, so that no two transactions wait for each other: keys, then records by
 * id. A claim skips what is locked.
 */
import type { Claim, ClaimedJob } from '../../../domain/claim.ts'
import type { RunChange } from '../../../domain/run.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import type { TaskKind } from '../../../domain/task.ts'
import { liveOf } from '../../totals.ts'
import type { RecordCache } from './record-cache.ts'
import type { Connection, Query } from '../connection/connection.ts'
import { isFailure } from '../connection/failure.ts'
import { claimKeys, type KnownReport } from '../statements/idempotency-keys.ts'
import { encodeNotification } from '../notifications/codec.ts'
import type { Operation } from './operations.ts'
import { lockNamed } from '../statements/records.ts'
import { createUnitOfWork, type Stored, type UnitOfWork, type Writes } from './unit-of-work.ts'
import { hasWrites, Outdated, saveWrites } from '../statements/save.ts'
import { liveOfWriter, type Writer } from '../statements/totals.ts'

/** The connection that writes, and its process. */
export interface Sender extends Writer {
  readonly channel: string
  /** Open jobs that it has added so far less those that it has ended: below 0 where it ends jobs that others added. */
  readonly live: number
  /** Whether there may be other processes. */
  readonly hasOthers: boolean
}

/** What follows from a transaction once it is committed. */
export interface Outcome {
  /** The reply to each operation; an error rejects it. */
  readonly values: readonly unknown[]
  /** Jobs that were claimed, for the callers of their operations to run. */
  readonly given: readonly ClaimedJob[]
  readonly changes: readonly RunChange[]
  /** The claims of jobs that were running and are cancelled. */
  readonly voided: readonly Claim[]
  /** Records as they were written. */
  readonly written: readonly Stored[]
  readonly removed: readonly Run[]
  /** Of the sender, with this one; null where nothing was counted. */
  readonly live: number | null
  /** Whether jobs wait now that did not before: `due` ones can be claimed; and of which kinds they are. */
  readonly newWork: Writes['newWork']
  readonly queuedKinds: readonly TaskKind[]
  /** Whether the commit itself has notified other processes of that. */
  readonly isNotified: boolean
}

/** The connection was lost during the commit, which may have taken place. */
export class UnknownCommit extends Error {
  override readonly name = 'UnknownCommit'
}

const begin = { name: 'begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED' }
const end = { name: 'commit', text: 'COMMIT' }
const takeBack = { name: 'rollback', text: 'ROLLBACK' }

interface Group {
  readonly operations: readonly Operation[]
  readonly sender: Sender
  readonly cache: RecordCache
  /** Whether it was sent before, and may have taken place. */
  readonly isRepeat: boolean
}

/** @throws UnknownCommit @throws DatabaseFailure */
export async function commitGroup(connection: Connection, group: Group): Promise<Outcome> {
  const { operations, cache, isRepeat } = group
  const looks = operations.flatMap(({ look }) => look?.() ?? [])
  const ids = runIdsOf(group)
  const known = ids.flatMap((id) => cache.get(id) ?? [])
  const hasKeys = operations.some(({ accepts }) => accepts?.run.idempotency)
  if (looks.length === 0 && !hasKeys && known.length === ids.length && !isRepeat) {
    const planned = plan(group, createUnitOfWork(known), new Map())
    // The statement compares revisions of changed records alone: a reply that changes nothing may come from an old record.
    if (planned.writes.changed.length === ids.length) {
      try {
        return await save(connection.query, group, planned, null)
      } catch (error) {
        if (!(error instanceof Outdated)) throw error
        for (const id of ids) cache.forget(id)
      }
    }
  }
  return commitLocked(connection, group, ids, looks)
}

/** In two trips: what is read travels together, and what is written travels with the commit. */
async function commitLocked(
  { query, together, isOpen }: Connection,
  group: Group,
  ids: readonly string[],
  looks: readonly ((query: Query) => Promise<readonly Stored[]>)[],
): Promise<Outcome> {
  try {
    const [, live, known, loaded, ...looked] = await Promise.all([
      query(begin),
      group.isRepeat ? liveOfWriter(query, group.sender) : null,
      claimKeys(
        query,
        group.operations.flatMap(({ accepts }) => accepts ?? []),
      ),
      ids.length === 0 ? [] : lockNamed(query, ids, group.cache.get),
      ...looks.map((look) => look(query)),
    ])
    const unit = createUnitOfWork([...loaded, ...looked.flat()])
    const planned = plan(group, unit, known)
    const outcome = await together(() => save(query, group, planned, end))
    return group.isRepeat
      ? { ...outcome, live: outcome.live ?? live, changes: [...outcome.changes, ...unit.loaded().map(changeOf)] }
      : outcome
  } catch (error) {
    if (isOpen()) await query(takeBack).catch(() => {})
    throw error
  }
}

/** An earlier attempt that was committed has notified other processes, and no subscriber here. */
function changeOf({ id: runId, version, state, answer }: Run): RunChange {
  return { runId, version, state, isAnswered: answer !== null, voided: [] }
}

function runIdsOf({ operations, isRepeat }: Group): string[] {
  const ids = operations.flatMap(({ runIds, accepts }) => [...runIds, ...(isRepeat && accepts ? [accepts.run.id] : [])])
  return [...new Set(ids)]
}

interface Planned {
  readonly values: readonly unknown[]
  readonly given: readonly ClaimedJob[]
  readonly writes: Writes
}

function plan(
  { operations, sender: { process }, isRepeat }: Group,
  unit: UnitOfWork,
  known: ReadonlyMap<string, KnownReport>,
): Planned {
  const given: ClaimedJob[] = []
  const context = { process, known, isRepeat, give: (job: ClaimedJob) => void given.push(job) }
  const values = new Map<Operation, unknown>()
  // Claims last: they take what is accepted with them.
  for (const operation of operations.toSorted(
    (one, other) => Number(one.verb === 'claim') - Number(other.verb === 'claim'),
  )) {
    values.set(operation, operation.apply(unit, context))
  }
  return { values: operations.map((operation) => values.get(operation)), given, writes: unit.finish() }
}

async function save(query: Query, group: Group, planned: Planned, commit: typeof end | null): Promise<Outcome> {
  const { values, given, writes } = planned
  const { sender } = group
  const added = new Set(writes.added.map(({ id }) => id))
  const changes = writes.changes.filter(({ runId }) => !added.has(runId))
  const isNotified = changes.length > 0 && sender.hasOthers
  // A commit that only accepts notifies nobody: PostgreSQL commits one transaction with notifications at a time.
  const messages = isNotified ? messagesOf(sender, { ...writes, changes }) : []
  const sent = hasWrites(writes) ? saveWrites(query, sender, sender.channel, writes, messages) : { live: null }
  const [{ live }] = await Promise.all([sent, commit && query(commit)]).catch((error: unknown) => {
    throw isFailure(error, 'lost')
      ? new UnknownCommit('the connection was lost during a commit', { cause: error })
      : error
  })
  return {
    values,
    given,
    changes: writes.changes,
    voided: writes.voided,
    written: [
      ...writes.added.map((run) => ({ run, revision: 1 })),
      ...writes.changed.map(({ run, revision }) => ({ run, revision: revision + 1 })),
    ],
    removed: writes.removed,
    live,
    newWork: writes.newWork,
    queuedKinds: [...new Set(writes.queued.map(({ kind }) => kind))],
    isNotified,
  }
}

function messagesOf({ process, writer, live }: Sender, { changes, voided, newWork, totals }: Writes): string[] {
  const hasWork = newWork === 'due'
  return encodeNotification({
    type: 'commit',
    from: process,
    writer,
    live: live + liveOf(totals),
    hasWork,
    changes,
    voided,
  })
}
