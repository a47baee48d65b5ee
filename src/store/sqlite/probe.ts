/** Writes what means nothing, to see whether anything can be written. */
import type { DatabaseSync } from 'node:sqlite'

export interface Probe {
  /** As much as small runs take. */
  write(): void
  /** Least of all, outside of a transaction. */
  overwrite(): void
}

const bytes = 65_536

export function createProbe(database: DatabaseSync): Probe {
  const replace = database.prepare('INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?))')

  return {
    write: () => void replace.run(bytes),
    overwrite: () => void replace.run(0),
  }
}
