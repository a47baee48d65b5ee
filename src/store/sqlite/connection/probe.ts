/** Writes what means nothing, to see whether anything can be written. */
import type { DatabaseSync } from 'node:sqlite'

export interface Probe {
  /** Within a transaction: one page, or after a failure as much as small runs take. */
  write(): void
  /** One page, outside of a transaction. */
  overwrite(): void
  /** Call after a commit, and after one that the disk has failed. */
  note(hasFailed: boolean): void
}

/** A disk with room for one page may have none for a run. */
const bytesAfterFailure = 65_536

export function createProbe(database: DatabaseSync): Probe {
  const replace = database.prepare('INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?))')
  let bytes = 0

  return {
    write: () => void replace.run(bytes),
    overwrite: () => void replace.run(0),
    note(hasFailed) {
      bytes = hasFailed ? bytesAfterFailure : 0
    },
  }
}
