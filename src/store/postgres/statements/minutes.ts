/** What tasks did in each minute, in all processes. */
import {
  minutesPerPrune,
  minutesPerRead,
  type MinuteRange,
  type MinuteRow,
  type StoredMinute,
} from '../../../domain/minute.ts'
import type { Query } from '../connection/connection.ts'

const insert = {
  name: 'insert-minutes',
  text: 'INSERT INTO minute (at, task, figures) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])',
}
const select = {
  name: 'select-minutes',
  text: `
    SELECT id, at, figures FROM minute WHERE task = $1 AND at < $2 AND (at, id) > ($3, $4)
    ORDER BY at, id LIMIT ${minutesPerRead}`,
}
const remove = {
  name: 'remove-minutes',
  text: `
    WITH oldest AS (SELECT id, at FROM minute ORDER BY id LIMIT ${minutesPerPrune} FOR UPDATE SKIP LOCKED)
    DELETE FROM minute USING oldest WHERE minute.id = oldest.id AND oldest.at < $1 RETURNING minute.id`,
}

export async function insertMinutes(query: Query, rows: readonly MinuteRow[]): Promise<void> {
  await query(insert, [rows.map(({ at }) => at), rows.map(({ task }) => task), rows.map(({ figures }) => figures)])
}

export async function readMinutes(query: Query, { task, from, to, after }: MinuteRange): Promise<StoredMinute[]> {
  const rows = await query(select, [task, to, ...(after === null ? [from, -1] : [after.at, after.id])])
  return rows.map(({ id, at, figures }) => ({ id: Number(id), at: Number(at), figures: String(figures) }))
}

export async function pruneMinutes(query: Query, before: number): Promise<number> {
  return (await query(remove, [before])).length
}
