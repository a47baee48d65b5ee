/**
 * Records of runs. A transaction keeps changed records in memory and writes each once. Records of unfinished runs stay in
 * memory after the commit, so that the next claim or outcome needs no read. The table has everything that is committed:
 * the memory can be dropped at any time between commits.
 */
import type { DatabaseSync } from 'node:sqlite'
import { type Run, runningJobs } from '../../../domain/run/aggregate.ts'
import { maxUnsentMs } from '../../claim-requests.ts'
import { decodeRun, encodeRun, stateNumber, UnreadableRecord } from '../../run-codec.ts'
import { bytesOfId, idOfBytes, prepareSelect } from '../connection/node-sqlite.ts'

export interface StoredRun {
  /** In order of acceptance. */
  readonly key: number
  readonly run: Run
}

export interface RecordRow {
  readonly key: number
  readonly id: Uint8Array
  readonly version: number
  readonly record: string
}

const recordColumns = 'record.key, record.id, record.version, record.record'

/** @throws UnreadableRecord */
export function asStoredRun({ key, id, version, record }: RecordRow): StoredRun {
  return { key, run: decodeRun(record, { id: idOfBytes(id), version }) }
}

interface ChangedRecord {
  readonly stored: StoredRun
  /** `new` and `changed` are still to be written. */
  status: 'new' | 'changed' | 'written'
}

export interface RecordsOptions {
  /** Bound on the jobs of runs that stay in memory between commits. */
  readonly maxJobs?: number
  /** Bound on the runs that a transaction keeps in memory after a flush. */
  readonly maxChanged?: number
  /** Called once for each record that cannot be read. */
  readonly onUnreadable?: (message: string) => void
}

export type Records = ReturnType<typeof createRecords>

export function createRecords(
  database: DatabaseSync,
  { maxJobs = 32_768, maxChanged = 4_096, onUnreadable }: RecordsOptions = {},
) {
  const selectById = prepareSelect<RecordRow>(database, `SELECT ${recordColumns} FROM record WHERE id = ?`)
  const selectKeyOf = prepareSelect<{ readonly key: number }>(database, 'SELECT key FROM record WHERE id = ?')
  const selectByKey = prepareSelect<RecordRow>(database, `SELECT ${recordColumns} FROM record WHERE key = ?`)
  const selectHeld = prepareSelect<Pick<RecordRow, 'key'>>(database, 'SELECT key FROM record WHERE held > 0')
  const sumHeld = database.prepare('SELECT coalesce(sum(held), 0) AS n FROM record WHERE held > 0')
  const selectFinished = prepareSelect<Pick<RecordRow, 'key'>>(
    database,
    `SELECT key FROM record WHERE finished_at < ?
      AND NOT EXISTS (SELECT 1 FROM delivery WHERE run = record.key AND next_at > ?)
      ORDER BY finished_at LIMIT ?`,
  )
  const insert = database.prepare(
    'INSERT INTO record (key, id, state, version, held, finished_at, record) VALUES (?, ?, ?, ?, ?, ?, ?)',
  )
  const update = database.prepare(
    'UPDATE record SET state = ?, version = ?, held = ?, finished_at = ?, record = ? WHERE key = ?',
  )
  const remove = database.prepare('DELETE FROM record WHERE key = ?')
  const lastKey = database.prepare('SELECT coalesce(max(key), 0) AS key FROM record')

  /** Unfinished runs as committed, by id. */
  const live = new Map<string, StoredRun>()
  let liveJobs = 0
  /** Runs that this transaction changed, by id. */
  const changed = new Map<string, ChangedRecord>()
  /** Ids of live and changed records, by key. */
  const ids = new Map<number, string>()
  /** Runs that the last commit ended: the reads of its group need them. */
  let ended = new Map<string, StoredRun>()
  const unreadable = new Set<number>()
  let nextKey = Number(lastKey.get()?.['key']) + 1

  function dropLive(id: string): void {
    const stored = live.get(id)
    if (stored === undefined) return
    live.delete(id)
    ids.delete(stored.key)
    liveJobs -= stored.run.jobs.length
  }

  function addLive(stored: StoredRun): void {
    dropLive(stored.run.id)
    live.set(stored.run.id, stored)
    ids.set(stored.key, stored.run.id)
    liveJobs += stored.run.jobs.length
    // A map is in order of insertion.
    for (const [oldestId] of live) {
      if (liveJobs <= maxJobs) break
      dropLive(oldestId)
    }
  }

  /** Drops a record from memory, except from the changes of the transaction. */
  function forget({ key, run }: StoredRun): void {
    dropLive(run.id)
    ended.delete(run.id)
    ids.delete(key)
  }

  const load = ([row]: readonly RecordRow[]): StoredRun | null => (row === undefined ? null : asStoredRun(row))

  function write({ stored: { key, run }, status }: ChangedRecord): void {
    const state = stateNumber(run.state)
    const held = runningJobs(run)
    const record = encodeRun(run)
    if (status === 'new') insert.run(key, bytesOfId(run.id), state, run.version, held, run.finishedAt, record)
    else update.run(state, run.version, held, run.finishedAt, record, key)
  }

  function noteChange(stored: StoredRun, status: 'new' | 'changed'): void {
    const { id } = stored.run
    // A new record stays new until it is written.
    changed.set(id, { stored, status: changed.get(id)?.status === 'new' ? 'new' : status })
    ids.set(stored.key, id)
  }

  function find(id: string): StoredRun | null {
    return changed.get(id)?.stored ?? live.get(id) ?? ended.get(id) ?? load(selectById(bytesOfId(id)))
  }

  /** Also of a record that cannot be read. @returns undefined if there is none */
  function keyOf(id: string): number | undefined {
    return (changed.get(id)?.stored ?? live.get(id) ?? ended.get(id) ?? selectKeyOf(bytesOfId(id))[0])?.key
  }

  // Not in `ended`: reads that follow the end of a run name it by its id.
  function findByKey(key: number): StoredRun | null {
    const id = ids.get(key)
    const known = id === undefined ? undefined : (changed.get(id)?.stored ?? live.get(id))
    return known ?? load(selectByKey(key))
  }

  return {
    /** @throws UnreadableRecord */
    find,
    keyOf,
    /** @throws UnreadableRecord */
    findByKey,
    /** Reads a record that another row refers to. @returns null if it cannot be read: the caller goes on with the others */
    read(key: number): StoredRun | null {
      try {
        const stored = findByKey(key)
        if (stored === null) throw new Error(`the record ${key} is gone, and a row refers to it`)
        return stored
      } catch (error) {
        if (!(error instanceof UnreadableRecord)) throw error
        if (!unreadable.has(key)) onUnreadable?.(error.message)
        unreadable.add(key)
        return null
      }
    },
    /** Keys of runs with running jobs. */
    heldKeys: () => selectHeld().map(({ key }) => key),
    /** Number of running jobs. */
    heldJobs: () => Number(sumHeld.get()?.['n']),
    /** Keys of runs that ended before the instant, oldest first; leaves out runs with a pending delivery. */
    finishedBefore: (at: number, limit: number) =>
      selectFinished(at, at - maxUnsentMs, limit + unreadable.size)
        .map(({ key }) => key)
        .filter((key) => !unreadable.has(key))
        .slice(0, limit),
    /** Key for a run to add. */
    takeKey: () => nextKey++,
    add(stored: StoredRun): void {
      const { id } = stored.run
      if (changed.has(id) || live.has(id)) throw new Error(`the run ${id} was accepted before`)
      noteChange(stored, 'new')
    },
    change: (stored: StoredRun) => noteChange(stored, 'changed'),
    remove(stored: StoredRun): void {
      forget(stored)
      changed.delete(stored.run.id)
      remove.run(stored.key)
    },
    flush() {
      for (const record of changed.values()) {
        if (record.status === 'written') continue
        write(record)
        record.status = 'written'
      }
      if (changed.size <= maxChanged) return
      // Later reads of this transaction find them in the table.
      for (const { stored } of changed.values()) forget(stored)
      changed.clear()
    },
    afterCommit() {
      ended = new Map()
      for (const { stored } of changed.values()) {
        if (stored.run.state === 'running') addLive(stored)
        else {
          forget(stored)
          ended.set(stored.run.id, stored)
        }
      }
      changed.clear()
    },
    afterRollback() {
      for (const { stored } of changed.values()) if (!live.has(stored.run.id)) ids.delete(stored.key)
      changed.clear()
    },
  }
}
