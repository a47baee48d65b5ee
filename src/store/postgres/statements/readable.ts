/**
 * Records that this program cannot read, as those that a newer version wrote, or a damaged one: they are left as they
 * are, and what finds runs by itself passes them over. A statement that takes a few of many is given their ids, for else
 * it would find nothing but them.
 */
import type { Log } from '../../../log.ts'
import type { Stored } from '../writing/unit.ts'
import { decodeRow, UnreadableRecord, type RecordRow } from './records.ts'

export interface Readable {
  /** Those of the rows that can be read. */
  decode(rows: readonly RecordRow[]): Stored[]
  /** Runs whose records could not be read of late. */
  unreadable(): readonly string[]
}

/** Somebody may have written the record again. */
const keptMs = 60_000
const maxKept = 5_000

/** As SQL has it: that the run is none of these. A hash, and no look at each of them. @param ids an array */
export function isNone(run: string, ids: string): string {
  return `${run} NOT IN (SELECT unnest(${ids}::uuid[]))`
}

export function createReadable(log: Pick<Log, 'error'>): Readable {
  /** When each was found first or again, on the clock of `performance.now()`; the latest last. */
  const found = new Map<string, number>()

  function note(error: UnreadableRecord): void {
    const { runId } = error
    if (!found.delete(runId))
      log.error({ runId, err: error }, 'a record cannot be read: its jobs wait, and its run is not shown')
    found.set(runId, performance.now())
    for (const oldest of found.keys()) {
      if (found.size <= maxKept) break
      found.delete(oldest)
    }
  }

  return {
    decode: (rows) =>
      rows.flatMap((row) => {
        try {
          return decodeRow(row)
        } catch (error) {
          if (!(error instanceof UnreadableRecord)) throw error
          note(error)
          return []
        }
      }),
    unreadable() {
      const since = performance.now() - keptMs
      return [...found].flatMap(([runId, at]) => (at >= since ? runId : []))
    },
  }
}
