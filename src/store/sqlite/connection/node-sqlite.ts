/**
 * What node:sqlite returns: rows, made into objects that V8 handles fast; ids of runs, as the sixteen bytes of their UUIDs,
 * which sort as the text does; and errors, classified by SQLite's primary result code (https://sqlite.org/rescode.html).
 */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'

const busyCodes = new Set([5, 6]) // BUSY, LOCKED
// NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, NOTADB
const unavailableCodes = new Set([7, 8, 10, 11, 13, 14, 26])

/**
 * node:sqlite returns each row as an object in dictionary mode, which is slow to make, to read and to copy. This reads
 * arrays of values instead, and makes objects of them that share one hidden class.
 * @param sql a column without a name of its own, such as an expression, needs one after AS
 */
export function prepareSelect<Row extends object>(database: DatabaseSync, sql: string) {
  const statement = database.prepare(sql)
  const names = statement.columns().map(({ name }) => name)
  statement.setReturnArrays(true)

  function rowOf(values: ArrayLike<unknown>): Row {
    const row: Record<string, unknown> = {}
    for (const [index, name] of names.entries()) row[name] = values[index]
    // The caller names the columns of its statement in `Row`.
    return row as Row
  }

  return (...values: SQLInputValue[]): Row[] =>
    // `setReturnArrays` makes each row an array.
    statement.all(...values).map((row) => rowOf(row as unknown as ArrayLike<unknown>))
}

export function bytesOfId(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

export function idOfBytes(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

export function isSqliteError(error: unknown): error is Error & { readonly errcode: unknown } {
  return error instanceof Error && 'errcode' in error
}

export function isBusy(error: unknown): boolean {
  return busyCodes.has(primaryCode(error))
}

/** Whether the file or the disk failed, and not the statement. Then the whole group is rolled back. */
export function isUnavailable(error: unknown): boolean {
  return isBusy(error) || unavailableCodes.has(primaryCode(error))
}

/** Advice for a file that cannot be opened; empty if none is known. */
export function remedyOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : ''
  switch (primaryCode(error)) {
    case 13: // FULL
      return ': make room on the disk'
    case 10: // IOERR
      return ': the disk fails, is full, or is limited for this process'
    case 8: // READONLY
    case 14: // CANTOPEN
      return ': this process must be able to write the file and its directory'
    case 11: // CORRUPT
    case 26: // NOTADB
      return ': restore a backup, or move the file away'
    default:
      return code === 'ENOSPC' || code === 'EDQUOT' ? ': make room on the disk' : ''
  }
}

/** @returns -1 for an error that is not SQLite's */
function primaryCode(error: unknown): number {
  return isSqliteError(error) ? Number(error.errcode) & 0xff : -1
}
