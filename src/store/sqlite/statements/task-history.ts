/** What is kept of tasks: the lines that they have logged, in chunks, and their figures of each minute. */
import type { DatabaseSync } from 'node:sqlite'
import {
  chunksPerPrune,
  keptFrom,
  type LineChunk,
  type MinuteRange,
  type MinuteRow,
  minutesPerPrune,
  minutesPerRead,
  type StoredChunk,
  type StoredMinute,
} from '../../../domain/task-history.ts'
import { bytesOfId, prepareSelect } from '../connection/node-sqlite.ts'

/** The total size is known without a query. */
export function createLines(database: DatabaseSync) {
  const selectKey = database.prepare('SELECT key FROM record WHERE id = ?')
  const insert = database.prepare('INSERT INTO log_chunk (run, at, lines, bytes, text) VALUES (?, ?, ?, ?, ?)')
  const selectSizes = prepareSelect<{ readonly id: number; readonly lines: number; readonly bytes: number }>(
    database,
    'SELECT id, lines, bytes FROM log_chunk WHERE run = ? ORDER BY id DESC',
  )
  const selectOldest = prepareSelect<{ readonly id: number; readonly at: number; readonly bytes: number }>(
    database,
    `SELECT id, at, bytes FROM log_chunk ORDER BY id LIMIT ${chunksPerPrune}`,
  )
  const selectTexts = prepareSelect<StoredChunk>(
    database,
    `SELECT log_chunk.id, text FROM record JOIN log_chunk ON log_chunk.run = record.key
      WHERE record.id = ? AND log_chunk.id >= ? ORDER BY log_chunk.id`,
  )
  const removeOlder = database.prepare('DELETE FROM log_chunk WHERE run = ? AND id < ?')
  const removeUpTo = database.prepare('DELETE FROM log_chunk WHERE id <= ?')
  const removeAll = database.prepare('DELETE FROM log_chunk WHERE run = ?')
  let committedBytes = Number(database.prepare('SELECT total(bytes) AS n FROM log_chunk').get()?.['n'])
  let totalBytes = committedBytes

  return {
    /** Adds a chunk and drops the oldest lines of its run; does nothing if there is no such run. */
    add({ runId, lines, text }: LineChunk, at: number): void {
      const key = selectKey.get(bytesOfId(runId))?.['key']
      if (typeof key !== 'number') return
      const bytes = Buffer.byteLength(text)
      insert.run(key, at, lines, bytes, text)
      totalBytes += bytes
      const sizes = selectSizes(key)
      const firstKept = keptFrom(sizes)
      if (firstKept === null) return
      for (const { id, bytes: removed } of sizes) if (id < firstKept) totalBytes -= removed
      removeOlder.run(key, firstKept)
    },
    chunksOf: (runId: string, fromId: number) => selectTexts(bytesOfId(runId), fromId),
    /** @param key of the run's record */
    removeRun(key: number): void {
      if (totalBytes === 0) return
      const sizes = selectSizes(key)
      if (sizes.length === 0) return
      for (const { bytes } of sizes) totalBytes -= bytes
      removeAll.run(key)
    },
    /** Removes the oldest chunks: those before the instant, and more while the rest is too large. @returns how many */
    prune(before: number, maxBytes: number): number {
      if (totalBytes === 0) return 0
      let pruned = 0
      let last = 0
      for (const { id, at, bytes } of selectOldest()) {
        if (at >= before && totalBytes <= maxBytes) break
        totalBytes -= bytes
        last = id
        pruned += 1
      }
      if (pruned > 0) removeUpTo.run(last)
      return pruned
    },
    afterCommit() {
      committedBytes = totalBytes
    },
    afterRollback() {
      totalBytes = committedBytes
    },
  }
}

export function createMinutes(database: DatabaseSync) {
  const insert = database.prepare('INSERT INTO minute (at, task, figures) VALUES (?, ?, ?)')
  const select = prepareSelect<StoredMinute>(
    database,
    `SELECT id, at, figures FROM minute WHERE task = ? AND at < ? AND (at, id) > (?, ?)
      ORDER BY at, id LIMIT ${minutesPerRead}`,
  )
  // By id, because rows are written in the order of their minutes.
  const remove = database.prepare(
    `DELETE FROM minute WHERE at < ? AND id IN (SELECT id FROM minute ORDER BY id LIMIT ${minutesPerPrune})`,
  )

  return {
    add(rows: readonly MinuteRow[]): void {
      for (const { at, task, figures } of rows) insert.run(at, task, figures)
    },
    /** @returns at most `minutesPerRead` */
    read: ({ task, from, to, after }: MinuteRange) =>
      select(task, to, ...(after === null ? [from, -1] : [after.at, after.id])),
    /** Removes some of the rows before the instant, the oldest first. @returns how many */
    prune: (before: number) => Number(remove.run(before).changes),
  }
}
