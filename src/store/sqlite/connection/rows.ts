/** Rows as objects that V8 is quick with, and run ids as the sixteen bytes of their UUIDs, which sort as the text does. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'

/**
 * node:sqlite makes a dictionary of each row, which is slow to make, to read and to copy; of an array of values the
 * object is made here, of the same form each time.
 * @param columns of the rows, separated by commas; what is no column of its own has a name behind AS
 * @param rest of the statement, from its FROM on
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
    // With arrays asked for, each row is one.
    statement.all(...values).map((row) => rowOf(row as unknown as ArrayLike<unknown>))
}

export function bytesOfId(id: string): Uint8Array {
  return Buffer.from(id.replaceAll('-', ''), 'hex')
}

export function idOfBytes(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
