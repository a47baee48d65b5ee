/** Lines that tasks have logged. How many bytes they take is known without a query. */
import type { DatabaseSync } from 'node:sqlite'
import { chunksPerPrune, keptFrom, type LineChunk, type StoredChunk } from '../../../domain/task-history.ts'
import { bytesOfId, prepareSelect } from '../connection/node-sqlite.ts'

export interface Lines {
  /** Does nothing for a run that there is not. */
  put(chunk: LineChunk, at: number): void
  chunksOf(runId: string, fromId: number): StoredChunk[]
  /** Of the run. */
  forget(run: number): void
  /** The oldest chunks that were written before the instant, or that are too much. @returns how many */
  prune(before: number, maxBytes: number): number
  keep(): void
  revert(): void
}

interface Size {
  readonly id: number
  readonly lines: number
  readonly bytes: number
}

export function createLines(database: DatabaseSync): Lines {
  const selectKey = database.prepare('SELECT key FROM record WHERE id = ?')
  const insert = database.prepare('INSERT INTO log_chunk (run, at, lines, bytes, text) VALUES (?, ?, ?, ?, ?)')
  const selectSizes = prepareSelect<Size>(database, 'id, lines, bytes', 'FROM log_chunk WHERE run = ? ORDER BY id DESC')
  const selectOldest = prepareSelect<{ readonly id: number; readonly at: number; readonly bytes: number }>(
    database,
    'id, at, bytes',
    `FROM log_chunk ORDER BY id LIMIT ${chunksPerPrune}`,
  )
  const selectTexts = prepareSelect<StoredChunk>(
    database,
    'log_chunk.id AS id, text',
    'FROM record JOIN log_chunk ON log_chunk.run = record.key WHERE record.id = ? AND log_chunk.id >= ? ORDER BY log_chunk.id',
  )
  const removeOlder = database.prepare('DELETE FROM log_chunk WHERE run = ? AND id < ?')
  const removeUpTo = database.prepare('DELETE FROM log_chunk WHERE id <= ?')
  const removeAll = database.prepare('DELETE FROM log_chunk WHERE run = ?')
  let committed = Number(database.prepare('SELECT total(bytes) AS n FROM log_chunk').get()?.['n'])
  let bytesNow = committed

  return {
    put({ runId, lines, text }, at) {
      const key = selectKey.get(bytesOfId(runId))?.['key']
      if (key === undefined || key === null) return
      const run = Number(key)
      const bytes = Buffer.byteLength(text)
      insert.run(run, at, lines, bytes, text)
      bytesNow += bytes
      const sizes = selectSizes(run)
      const from = keptFrom(sizes)
      if (from === null) return
      for (const { id, bytes: gone } of sizes) if (id < from) bytesNow -= gone
      removeOlder.run(run, from)
    },
    chunksOf: (runId, fromId) => selectTexts(bytesOfId(runId), fromId),
    forget(run) {
      if (bytesNow === 0) return
      const sizes = selectSizes(run)
      if (sizes.length === 0) return
      for (const { bytes } of sizes) bytesNow -= bytes
      removeAll.run(run)
    },
    prune(before, maxBytes) {
      if (bytesNow === 0) return 0
      let pruned = 0
      let last = 0
      for (const { id, at, bytes } of selectOldest()) {
        if (at >= before && bytesNow <= maxBytes) break
        bytesNow -= bytes
        last = id
        pruned += 1
      }
      if (pruned > 0) removeUpTo.run(last)
      return pruned
    },
    keep() {
      committed = bytesNow
    },
    revert() {
      bytesNow = committed
    },
  }
}
