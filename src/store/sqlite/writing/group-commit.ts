/**
 * Runs a group of operations: its writes in one transaction, then its reads. A failing disk rejects the writes of
 * the group; a failing operation rejects only itself.
 */
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../../domain/errors.ts'
import type { RunChange } from '../../../domain/run.ts'
import { type Group, isRead, type Operation, type Reply, type Verbs } from '../messages.ts'
import { createReadingVerbs, createWritingVerbs } from '../verbs.ts'
import { isUnavailable } from '../connection/node-sqlite.ts'
import type { Transaction } from './transaction.ts'

/** Size of the row that shows whether the disk takes writes: a disk with room for one page may have none for a run. */
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
  const selectChanges = database.prepare('SELECT total_changes() AS n')
  // Changes of this group's commits: after an operation failed, each of the others is a commit of its own.
  let committed: RunChange[] = []
  let hasWritten = false

  function run({ verb, args }: Operation): unknown {
    // The engine's typed methods made the operation; the message between the threads has lost the pairing.
    const call = verbs[verb] as (...args: readonly unknown[]) => unknown
    return call(...args)
  }

  function commit(operations: readonly Operation[]): Reply[] {
    try {
      begin.run()
      const before = changedRows()
      // In order of arrival. Claims that came last, as on PostgreSQL, would see more new runs, but saved no claim and no
      // commit when that was counted; and they would pass a step of the clock, whose due times are not theirs.
      const replies = operations.map((operation): Reply => ({ ok: true, value: run(operation) }))
      transaction.flush()
      end.run()
      committed.push(...transaction.afterCommit())
      if (changedRows() > before) noteWritten()
      return replies
    } catch (error) {
      rollBack()
      if (isUnavailable(error)) overwriteFailed()
      if (isUnavailable(error) || operations.length === 1) return operations.map(() => failure(error))
      return operations.flatMap((operation) => commit([operation]))
    }
  }

  /** Rows changed by all statements so far. */
  function changedRows(): number {
    return Number(selectChanges.get()?.['n'])
  }

  function noteWritten(): void {
    hasWritten = true
    probeBytes = 0
  }

  function rollBack(): void {
    // SQLite rolls back by itself after some failures.
    if (database.isTransaction) database.exec('ROLLBACK')
    transaction.afterRollback()
  }

  /**
   * A commit that failed at its last step, the fsync, may be complete in the log, and would count as committed after a
   * crash. The next write overwrites it in the log, even if that write fails too.
   */
  function overwriteFailed(): void {
    probeBytes = bytesAfterFailure
    try {
      writeProbe.run(0)
    } catch {
      // As expected of a disk that fails.
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
    const writing = operations.filter(({ verb }) => !isRead(verb))
    const written = writing.length === 0 ? [] : commit(writing)
    let next = 0
    const replies = operations.map((operation) => {
      if (isRead(operation.verb)) return read(operation)
      const reply = written[next]
      next += 1
      if (reply === undefined) throw new Error('a write has no reply')
      return reply
    })
    const group = { replies, changes: committed, hasWritten }
    committed = []
    hasWritten = false
    return group
  }
}

function failure(error: unknown): Reply {
  return { ok: false, code: isUnavailable(error) ? 'store-unavailable' : 'internal', message: messageOf(error) }
}
