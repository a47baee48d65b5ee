/**
 * Runs a group of operations: its writes in one transaction, then its reads. A failing disk rejects all writes of the
 * group; a failing operation rejects only itself.
 */
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../../domain/errors.ts'
import type { RunChange } from '../../../domain/run.ts'
import { isUnavailable } from '../connection/node-sqlite.ts'
import { type Group, isRead, type Operation, type Reply, type Verbs } from '../messages.ts'
import { createReadingVerbs, createWritingVerbs } from '../verbs.ts'
import type { Transaction } from './transaction.ts'

/** Size of the probe from a failed write to the next successful one: a disk with room for a page may have none for a run. */
const bytesAfterFailure = 65_536

export function createGroupCommit(
  database: DatabaseSync,
  transaction: Transaction,
): (operations: readonly Operation[]) => Group {
  const writeProbe = database.prepare('INSERT OR REPLACE INTO probe (id, filler) VALUES (1, zeroblob(?))')
  let probeBytes = 0
  const verbs: Verbs = {
    ...createWritingVerbs(transaction),
    ...createReadingVerbs(database, transaction),
    checkWritable: () => void writeProbe.run(probeBytes),
  }
  const begin = database.prepare('BEGIN IMMEDIATE')
  const end = database.prepare('COMMIT')
  const selectChangedRows = database.prepare('SELECT total_changes() AS n')
  // Of the whole group: after an operation failed, each of the others is a commit of its own.
  let changes: RunChange[] = []
  let hasWritten = false

  function run({ verb, args }: Operation): unknown {
    // The engine's typed methods made the operation; the message between the threads lost the types.
    const call = verbs[verb] as (...args: readonly unknown[]) => unknown
    return call(...args)
  }

  /** Number of rows that all statements have changed so far. */
  function changedRows(): number {
    return Number(selectChangedRows.get()?.['n'])
  }

  function commit(operations: readonly Operation[]): Reply[] {
    try {
      begin.run()
      const before = changedRows()
      // In order of arrival. Running claims last, as PostgreSQL does, saved no claim and no commit when measured; and a
      // claim must not overtake a step of the clock, which moves due times.
      const replies = operations.map((operation): Reply => ({ ok: true, value: run(operation) }))
      transaction.flush()
      end.run()
      changes.push(...transaction.afterCommit())
      if (changedRows() > before) {
        hasWritten = true
        probeBytes = 0
      }
      return replies
    } catch (error) {
      rollBack()
      if (isUnavailable(error)) {
        probeBytes = bytesAfterFailure
        overwriteFailed()
      } else if (operations.length > 1) return operations.flatMap((operation) => commit([operation]))
      return operations.map(() => failure(error))
    }
  }

  function rollBack(): void {
    // SQLite itself rolls back after some failures.
    if (database.isTransaction) database.exec('ROLLBACK')
    transaction.afterRollback()
  }

  /**
   * If only the fsync of a commit failed, the commit may be complete in the log, and would count after a crash. A small
   * write takes its place in the log, even if this write fails, too.
   */
  function overwriteFailed(): void {
    try {
      writeProbe.run(0)
    } catch {
      // Expected while the disk fails.
    }
    if (database.isTransaction) database.exec('ROLLBACK')
  }

  function read(operation: Operation): Reply {
    try {
      return { ok: true, value: run(operation) }
    } catch (error) {
      return failure(error)
    }
  }

  return (operations) => {
    changes = []
    hasWritten = false
    const writes = operations.filter(({ verb }) => !isRead(verb))
    const writeReplies = writes.length === 0 ? [] : commit(writes)
    let next = 0
    const replies = operations.map((operation) => {
      if (isRead(operation.verb)) return read(operation)
      const reply = writeReplies[next]
      next += 1
      if (reply === undefined) throw new Error('a write has no reply')
      return reply
    })
    return { replies, changes, hasWritten }
  }
}

function failure(error: unknown): Reply {
  return { ok: false, code: isUnavailable(error) ? 'store-unavailable' : 'internal', message: messageOf(error) }
}
