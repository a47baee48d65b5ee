/** Checks a copy of a database: its pages, and whether each of its runs can be read. */
import { DatabaseSync } from 'node:sqlite'
import { checkOwnership, migrationFiles, readNumber } from '../connection/database.ts'
import { createReads } from '../statements/read.ts'
import { createTransaction } from '../writing/transaction.ts'

export interface CopyReport {
  /** Null for the file of an older version, which reads it when it is started on it. */
  readonly runs: number | null
  /** Reasons why runs cannot be read; the rest of the file is sound. */
  readonly unreadable: readonly string[]
}

const pageSize = 500

/**
 * First writes the log beside the copy into it, so that the copy is one file.
 * @param original for messages: the file that it is a copy of
 * @throws Error when it is no database of this program, was written by a newer version, or is damaged
 */
export function checkCopy(path: string, original: string): CopyReport {
  const database = new DatabaseSync(path)
  try {
    checkOwnership(database, original)
    const version = readNumber(database, 'PRAGMA user_version')
    const known = migrationFiles().length
    if (version === 0) throw new Error(`${original} is empty`)
    if (version > known) throw new Error(`${original} has schema version ${version}; this program knows ${known}`)
    database.exec('PRAGMA journal_mode = DELETE')
    const damage = database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']
    if (damage !== 'ok') throw new Error(`${original} is damaged: ${String(damage)}`)
    return version === known ? readAll(database) : { runs: null, unreadable: [] }
  } catch (error) {
    // Of SQLite itself.
    if (!(error instanceof Error) || !('errcode' in error)) throw error
    throw new Error(`${original} cannot be read: ${error.message}`, { cause: error })
  } finally {
    database.close()
  }
}

function readAll(database: DatabaseSync): CopyReport {
  const unreadable: string[] = []
  const transaction = createTransaction(database, { onUnreadable: (message) => unreadable.push(message) })
  const reads = createReads(database, transaction)
  let runs = 0
  for (let beforeId: string | undefined; ;) {
    const page = reads.listRuns({ pageSize, ...(beforeId !== undefined && { beforeId }) })
    for (const { id } of page.runs) {
      try {
        reads.getRun(id)
        runs += 1
      } catch (error) {
        unreadable.push(`run ${id}: ${error instanceof Error ? error.message : String(error)}`)
      }
    }
    beforeId = page.runs.at(-1)?.id
    if (!page.hasMore || beforeId === undefined) return { runs, unreadable }
  }
}
