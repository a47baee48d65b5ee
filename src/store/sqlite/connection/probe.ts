/** Writes a row without meaning, which shows whether the disk takes writes. */
import type { DatabaseSync } from 'node:sqlite'

export interface Probe {
  /** Within a transaction: writes one page, or after a failure as many as small runs take. */
  write(): void
  /** Outside of a transaction: writes one page. */
  overwrite(): void
  /** Call after each commit, whether it succeeded or failed. */
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
