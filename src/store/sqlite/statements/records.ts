/**
 * Records of runs. A transaction keeps changed records in memory and writes each once. Records of unfinished runs stay in
 * memory after the commit, so that the next claim or settlement needs no read. The table has everything that is
 * committed: the memory can be dropped at any time between commits.
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

export interface Records {
  find(id: string): StoredRun | null
  findByKey(key: number): StoredRun | null
  /** The record that another row refers to; null for an unreadable one, which must not hold up the others. */
  read(key: number): StoredRun | null
  /** Keys of the runs of which a process holds jobs. */
  held(): number[]
  /** Keys of the runs that ended before the instant, oldest first; not those that have a pending delivery. */
  finishedBefore(at: number, limit: number): number[]
  heldJobs(): number
  /** Key of the next run that is added. */
  nextKey(): number
  add(stored: StoredRun): void
  change(stored: StoredRun): void
  remove(stored: StoredRun): void
  /** Writes what the transaction has changed; call before the commit, and before another statement reads the table. */
  flush(): void
  /** Call after the commit. */
  keep(): void
  /** Call when the transaction was rolled back. */
  revert(): void
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

interface Changed {
  stored: StoredRun
  /** The record as the table has it. */
  is: 'new' | 'changed' | 'written'
}

export interface RecordsOptions {
  /** Jobs of the runs that are kept between commits. */
  readonly maxJobs?: number
  /** Runs that a transaction keeps in memory when they are written. */
  readonly maxChanged?: number
  /** Called once for each record that cannot be read. */
  readonly onUnreadable?: (message: string) => void
}

export function createRecords(
  database: DatabaseSync,
  { maxJobs = 32_768, maxChanged = 4_096, onUnreadable }: RecordsOptions = {},
): Records {
  const selectById = prepareSelect<RecordRow>(database, recordColumns, 'FROM record WHERE id = ?')
  const selectByKey = prepareSelect<RecordRow>(database, recordColumns, 'FROM record WHERE key = ?')
  const selectHeld = prepareSelect<Pick<RecordRow, 'key'>>(database, 'key', 'FROM record WHERE held > 0')
  const sumHeld = database.prepare('SELECT coalesce(sum(held), 0) AS n FROM record WHERE held > 0')
  const selectFinished = prepareSelect<Pick<RecordRow, 'key'>>(
    database,
    'key',
    `FROM record WHERE finished_at < ?
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

  const live = new Map<string, StoredRun>()
  let liveJobs = 0
  const changed = new Map<string, Changed>()
  /** Of live and of changed records, by key. */
  const ids = new Map<number, string>()
  /** Runs that the latest commit ended, for the reads of the same group. */
  let ended = new Map<string, StoredRun>()
  /** Keys of the records that were met and could not be read. */
  const unreadable = new Set<number>()
  let nextKey = Number(lastKey.get()?.['key']) + 1

  function drop(id: string): void {
    const stored = live.get(id)
    if (stored === undefined) return
    live.delete(id)
    ids.delete(stored.key)
    liveJobs -= stored.run.jobs.length
  }

  function keepLive(stored: StoredRun): void {
    drop(stored.run.id)
    live.set(stored.run.id, stored)
    ids.set(stored.key, stored.run.id)
    liveJobs += stored.run.jobs.length
    // The oldest first.
    for (const [id] of live) {
      if (liveJobs <= maxJobs) break
      drop(id)
    }
  }

  const load = ([row]: readonly RecordRow[]): StoredRun | null => (row === undefined ? null : asStoredRun(row))

  function write({ stored: { key, run }, is }: Changed): void {
    const state = stateNumber(run.state)
    const held = runningJobs(run)
    const record = encodeRun(run)
    if (is === 'new') insert.run(key, bytesOfId(run.id), state, run.version, held, run.finishedAt, record)
    else update.run(state, run.version, held, run.finishedAt, record, key)
  }

  function note(stored: StoredRun, is: Changed['is']): void {
    const known = changed.get(stored.run.id)
    if (known === undefined) {
      changed.set(stored.run.id, { stored, is })
      ids.set(stored.key, stored.run.id)
    } else {
      known.stored = stored
      if (known.is === 'written') known.is = 'changed'
    }
  }

  const find = (id: string): StoredRun | null =>
    changed.get(id)?.stored ?? live.get(id) ?? ended.get(id) ?? load(selectById(bytesOfId(id)))

  function findByKey(key: number): StoredRun | null {
    const id = ids.get(key)
    const known = id === undefined ? undefined : (changed.get(id)?.stored ?? live.get(id))
    return known ?? load(selectByKey(key))
  }

  function read(key: number): StoredRun | null {
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
  }

  return {
    find,
    findByKey,
    read,
    held: () => selectHeld().map(({ key }) => key),
    finishedBefore: (at, limit) =>
      selectFinished(at, at - maxUnsentMs, limit + unreadable.size)
        .map(({ key }) => key)
        .filter((key) => !unreadable.has(key)),
    heldJobs: () => Number(sumHeld.get()?.['n']),
    nextKey: () => nextKey++,
    add(stored) {
      const { id } = stored.run
      if (changed.has(id) || live.has(id)) throw new Error(`the run ${id} was accepted before`)
      note(stored, 'new')
    },
    change: (stored) => note(stored, 'changed'),
    remove(stored) {
      drop(stored.run.id)
      ended.delete(stored.run.id)
      changed.delete(stored.run.id)
      ids.delete(stored.key)
      remove.run(stored.key)
    },
    flush() {
      for (const entry of changed.values()) {
        if (entry.is === 'written') continue
        write(entry)
        entry.is = 'written'
      }
      if (changed.size <= maxChanged) return
      // The table has them, and they are read again within this transaction.
      for (const { stored } of changed.values()) {
        drop(stored.run.id)
        ended.delete(stored.run.id)
        ids.delete(stored.key)
      }
      changed.clear()
    },
    keep() {
      ended = new Map()
      for (const { stored } of changed.values()) {
        if (stored.run.state === 'running') keepLive(stored)
        else {
          drop(stored.run.id)
          ids.delete(stored.key)
          ended.set(stored.run.id, stored)
        }
      }
      changed.clear()
    },
    revert() {
      for (const { stored } of changed.values()) if (!live.has(stored.run.id)) ids.delete(stored.key)
      changed.clear()
    },
  }
}
