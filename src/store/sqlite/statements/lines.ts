/** Lines that tasks have logged, in chunks. Their total size is known without a query. */
import type { DatabaseSync } from 'node:sqlite'
import { chunksPerPrune, keptFrom, type LineChunk, type StoredChunk } from '../../../domain/task-history.ts'
import { bytesOfId, prepareSelect } from '../connection/node-sqlite.ts'

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
