/**
 * A group of operations as one transaction. If every record it needs is in memory, the group is one statement, which
 * writes nothing if one of the records is outdated. Otherwise it locks and reads the records first, and writes together
 * with the commit. Every transaction locks in one order, keys and then records by id, so that no two wait for each
 * other. A claim skips locked records.
 */
import { type Claim, type ClaimedJob, jobKey } from '../../../domain/claim.ts'
import type { RunChange, RunRecord } from '../../../domain/run.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import type { TaskKind } from '../../../domain/task.ts'
import type { KnownKey } from '../../store.ts'
import { changeOf } from '../../../domain/run/verbs.ts'
import { liveOf } from '../../totals.ts'
import type { Connection, Query } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { encodeNotification } from '../notifications/codec.ts'
import { claimKeys } from '../statements/idempotency-keys.ts'
import { claimRequests } from '../statements/inbox.ts'
import { shownWhole } from '../statements/read.ts'
import { lockNamed, type RecordCache } from '../statements/records.ts'
import { asksForAnswer } from '../../../domain/run/new-run.ts'
import { hasWrites, Outdated, saveWrites } from '../statements/save.ts'
import { liveOfWriter, type Writer } from '../statements/totals.ts'
import type { Context, Found, Look, Operation } from './operations.ts'
import { createUnitOfWork, type Stored, type UnitOfWork, type Writes } from './unit-of-work.ts'

/** The connection that writes, and its process. */
export interface Sender extends Writer {
  readonly channel: string
  /** Its share of the backlog: jobs it added less jobs it ended; below 0 if it ends jobs of others. */
  readonly live: number
  /** Whether there may be other processes. */
  readonly hasOthers: boolean
}

/** The result of a committed transaction. */
export interface Outcome {
  /** The reply to each operation; an error rejects it. */
  readonly values: readonly unknown[]
  /** Jobs that were claimed, for the callers of their operations to run. */
  readonly given: readonly ClaimedJob[]
  /** What operations have to do after the commit. */
  readonly effects: readonly (() => void)[]
  readonly changes: readonly RunChange[]
  /** A run that was written, for readers; null where some of it has to be read. */
  readonly asCommitted: (runId: string) => RunRecord | null
  /** The claims of jobs that were running and are cancelled. */
  readonly voided: readonly Claim[]
  /** Records as they were written. */
  readonly written: readonly Stored[]
  readonly removed: readonly Run[]
  /** The sender's share of the backlog after the commit; null if nothing was counted. */
  readonly live: number | null
  /** Whether jobs were queued, and whether they are due at once. */
  readonly newWork: Writes['newWork']
  /** Kinds whose next due time has changed: a job was queued, or one that was due later does not wait any more. */
  readonly requeuedKinds: readonly TaskKind[]
  /** Whether the commit itself has notified other processes of that. */
  readonly isNotified: boolean
}

/** The connection was lost during the commit, which may have taken place. */
export class UnknownCommit extends Error {
  override readonly name = 'UnknownCommit'
}

const begin = { name: 'begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED' }
const end = { name: 'commit', text: 'COMMIT' }
const rollBack = { name: 'rollback', text: 'ROLLBACK' }

interface Group {
  readonly operations: readonly Operation[]
  readonly sender: Sender
  readonly cache: RecordCache
  /** Whether it was sent before, and may have taken place. */
  readonly isRepeat: boolean
  /** As far as this process knows. */
  readonly isPaused: (task: string) => boolean
}

/** @throws UnknownCommit @throws StartPaused @throws DatabaseFailure */
export async function commitGroup(connection: Connection, group: Group): Promise<Outcome> {
  const { operations, cache, isRepeat } = group
  const looks = operations.flatMap((operation) => {
    const look = operation.look?.() ?? null
    return look === null ? [] : [{ operation, look }]
  })
  const ids = runIdsOf(group)
  const known = ids.flatMap((id) => cache.get(id) ?? [])
  const isClaiming = operations.some(({ accepts }) => accepts?.run.idempotency || accepts?.run.isFromInbox)
  if (looks.length === 0 && !isClaiming && known.length === ids.length && !isRepeat) {
    const planned = plan(group, createUnitOfWork(known))
    // The statement compares the revisions of changed records only. A record that stays unchanged may be outdated, and with
    // it the reply.
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

/** Two trips to the server: all reads, then all writes with the commit. */
async function commitLocked(
  { query, together, isOpen }: Connection,
  group: Group,
  ids: readonly string[],
  looks: readonly { readonly operation: Operation; readonly look: Look }[],
): Promise<Outcome> {
  try {
    const accepts = group.operations.flatMap(({ accepts: acceptance }) => acceptance ?? [])
    const [, live, known, gone, loaded, ...looked] = await Promise.all([
      query(begin),
      group.isRepeat ? liveOfWriter(query, group.sender) : null,
      claimKeys(query, accepts),
      claimRequests(
        query,
        accepts.map(({ run }) => run),
      ),
      ids.length === 0 ? [] : lockNamed(query, ids, group.cache.get),
      ...looks.map(({ look }) => look(query)),
    ])
    const unit = createUnitOfWork([...loaded, ...looked.flatMap(({ records }) => records)])
    const found = new Map(looks.map(({ operation }, index) => [operation, looked[index]]))
    const planned = plan(group, unit, new Map([...known, ...gone]), found)
    const outcome = await together(() => save(query, group, planned, end))
    if (!group.isRepeat) return outcome
    // If an earlier attempt was committed, it has notified other processes, and no subscriber here.
    const missed = unit.loaded().map((run) => changeOf(run, run))
    return { ...outcome, live: outcome.live ?? live, changes: [...outcome.changes, ...missed] }
  } catch (error) {
    if (isOpen()) await query(rollBack).catch(() => {})
    throw error
  }
}

function runIdsOf({ operations, isRepeat }: Group): string[] {
  const ids = operations.flatMap(({ runIds, accepts }) => [...runIds, ...(isRepeat && accepts ? [accepts.run.id] : [])])
  return [...new Set(ids)]
}

interface Planned {
  readonly values: readonly unknown[]
  readonly given: readonly ClaimedJob[]
  readonly effects: readonly (() => void)[]
  readonly writes: Writes
}

/** @param found by the looks of operations */
function plan(
  { operations, sender: { process }, isRepeat }: Group,
  unit: UnitOfWork,
  known: ReadonlyMap<string, KnownKey> = new Map(),
  found: ReadonlyMap<Operation, Found | undefined> = new Map(),
): Planned {
  const given: ClaimedJob[] = []
  const effects: (() => void)[] = []
  const context: Context = {
    process,
    known,
    isRepeat,
    give: (job) => void given.push(job),
    onCommitted: (effect) => void effects.push(effect),
  }
  const values = new Map<Operation, unknown>()
  // Claims come last, so that they can take jobs of runs that this group accepts.
  for (const operation of operations.toSorted(
    (one, other) => Number(one.verb === 'claim') - Number(other.verb === 'claim'),
  )) {
    const { apply } = found.get(operation) ?? operation
    values.set(operation, apply(unit, context))
  }
  return { values: operations.map((operation) => values.get(operation)), given, effects, writes: unit.finish() }
}

async function save(query: Query, group: Group, planned: Planned, commit: typeof end | null): Promise<Outcome> {
  const { values, given, effects, writes } = planned
  const { sender } = group
  const added = new Map(writes.added.map((run) => [run.id, run]))
  const changes = writes.changes.filter(({ runId }) => !added.has(runId))
  const isNotified = changes.length > 0 && sender.hasOthers
  // A commit that only accepts notifies nobody: PostgreSQL commits one transaction with notifications at a time.
  const messages = isNotified ? messagesOf(sender, { ...writes, changes }) : []
  const starting = startingTasks(group, planned, added)
  const sent = hasWrites(writes)
    ? saveWrites(query, sender, sender.channel, writes, messages, starting)
    : { live: null }
  const [{ live }] = await Promise.all([sent, commit && query(commit)]).catch((error: unknown) => {
    throw isFailure(error, 'lost')
      ? new UnknownCommit('the connection was lost during a commit', { cause: error })
      : error
  })
  return {
    values,
    given,
    effects,
    changes: writes.changes,
    asCommitted(runId) {
      const run = added.get(runId) ?? writes.changed.find((changed) => changed.run.id === runId)?.run
      return run === undefined ? null : shownWhole(run)
    },
    voided: writes.voided,
    written: [
      ...writes.added.map((run) => ({ run, revision: 1 })),
      ...writes.changed.map(({ run, revision }) => ({ run, revision: revision + 1 })),
    ],
    removed: writes.removed,
    live,
    newWork: writes.newWork,
    requeuedKinds: requeuedKinds(writes, given),
    isNotified,
  }
}

/** Tasks of jobs that start, and of first jobs that can do so when their callers wait for them. */
function startingTasks({ operations, isPaused }: Group, { given }: Planned, added: ReadonlyMap<string, Run>): string[] {
  const firsts = operations.flatMap(({ accepts }) =>
    accepts && asksForAnswer(accepts.run) && added.has(accepts.run.id) ? accepts.run.jobs.slice(0, 1) : [],
  )
  const tasks = [...given.map(({ task }) => task), ...firsts.flatMap(({ task }) => (isPaused(task) ? [] : task))]
  return [...new Set(tasks)]
}

function requeuedKinds({ queued, unqueued }: Writes, given: readonly ClaimedJob[]): TaskKind[] {
  const later = unqueued.filter(({ isDue }) => !isDue)
  const claimed = new Set(later.length === 0 ? [] : given.map(jobKey))
  return [...new Set([...queued, ...later.filter((row) => !claimed.has(jobKey(row)))].map(({ kind }) => kind))]
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
