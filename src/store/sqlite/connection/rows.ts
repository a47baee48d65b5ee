/** Rows as objects that V8 is quick with, and run ids as the sixteen bytes of their UUIDs, which sort as the text does. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'

/**
 * node:sqlite returns each row as an object in dictionary mode, which is slow to make, to read and to copy. From an array
 * of values this makes objects that share one hidden class.
 * @param columns separated by commas; an expression has a name after AS
 * @param rest of the statement, beginning with FROM
 */
export function prepareSelect<Row extends object>(database: DatabaseSync, columns: string, rest: string) {
  const names = columns.split(',').map((column) => column.trim().replace(/^.* AS |^\w+\./, ''))
  const statement = database.prepare(`SELECT ${columns} ${rest}`)
  statement.setReturnArrays(true)

  function rowOf(values: ArrayLike<unknown>): Row {
    const row: Record<string, unknown> = {}
    for (const [index, name] of names.entries()) row[name] = values[index]
    // The statement has the columns that its caller names.
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
