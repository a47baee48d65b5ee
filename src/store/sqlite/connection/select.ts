/** Reads rows as objects that V8 is quick with. */
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
