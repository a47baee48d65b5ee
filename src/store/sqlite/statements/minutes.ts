/** What tasks did in each minute. */
import type { DatabaseSync } from 'node:sqlite'
import {
  minutesPerPrune,
  minutesPerRead,
  type MinuteRange,
  type MinuteRow,
  type StoredMinute,
} from '../../../domain/task-history.ts'
import { prepareSelect } from '../connection/rows.ts'

export interface Minutes {
  add(rows: readonly MinuteRow[]): void
  /** In their order, at most `minutesPerRead`. */
  read(range: MinuteRange): StoredMinute[]
  /** The oldest rows before the instant. @returns how many */
  prune(before: number): number
}

export function createMinutes(database: DatabaseSync): Minutes {
  const insert = database.prepare('INSERT INTO minute (at, task, figures) VALUES (?, ?, ?)')
  const select = prepareSelect<StoredMinute>(
    database,
    'id, at, figures',
    `FROM minute WHERE task = ? AND at < ? AND (at, id) > (?, ?) ORDER BY at, id LIMIT ${minutesPerRead}`,
  )
  const remove = database.prepare(
    `DELETE FROM minute WHERE at < ? AND id IN (SELECT id FROM minute ORDER BY id LIMIT ${minutesPerPrune})`,
  )

  return {
    add(rows) {
      for (const { at, task, figures } of rows) insert.run(at, task, figures)
    },
    read: ({ task, from, to, after }) => select(task, to, ...(after === null ? [from, -1] : [after.at, after.id])),
    prune: (before) => Number(remove.run(before).changes),
  }
}
