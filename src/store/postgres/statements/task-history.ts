/**
 * What is kept of tasks: the lines that they have logged, and their figures of each minute. Both are written on a reading
 * connection, so that no group waits for them.
 */
import { isRunId } from '../../../domain/ids.ts'
import {
  chunksPerPrune,
  keptFrom,
  type LineChunk,
  type MinuteRange,
  type MinuteRow,
  minutesPerPrune,
  minutesPerRead,
  type StoredChunk,
  type StoredMinute,
} from '../../../domain/task-history.ts'
import { columns, type Query } from '../connection/connection.ts'

const insertChunks = {
  name: 'insert-log-chunks',
  text: `
    INSERT INTO log_chunk (run, at, lines, bytes, text)
    SELECT new.run, $1, new.lines, octet_length(new.text), new.text
    FROM unnest($2::uuid[], $3::integer[], $4::text[]) AS new (run, lines, text)
    WHERE EXISTS (SELECT FROM record WHERE record.id = new.run)`,
}
const selectSizes = {
  name: 'select-log-sizes',
  text: 'SELECT run, id, lines, bytes FROM log_chunk WHERE run = ANY($1::uuid[]) ORDER BY run, id DESC',
}
const removeOlder = {
  name: 'remove-log-chunks',
  text: `
    DELETE FROM log_chunk USING unnest($1::uuid[], $2::bigint[]) AS kept (run, id)
    WHERE log_chunk.run = kept.run AND log_chunk.id < kept.id`,
}
const selectChunks = {
  name: 'select-log-chunks',
  text: 'SELECT id, text FROM log_chunk WHERE run = $1 AND id >= $2 ORDER BY id',
}
const oldest = `SELECT id, at, bytes FROM log_chunk ORDER BY id LIMIT ${chunksPerPrune} FOR UPDATE SKIP LOCKED`
const removeOld = {
  name: 'remove-old-log-chunks',
  text: `WITH oldest AS (${oldest}) DELETE FROM log_chunk USING oldest
    WHERE log_chunk.id = oldest.id AND oldest.at < $1 RETURNING log_chunk.id`,
}
// Removes the excess bytes and no more.
const removeOldest = {
  name: 'remove-oldest-log-chunks',
  text: `WITH oldest AS (${oldest}),
      counted AS (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS earlier FROM oldest)
    DELETE FROM log_chunk USING counted WHERE log_chunk.id = counted.id AND counted.earlier < $1 RETURNING log_chunk.id`,
}
// The files may have room from deleted rows, so the bytes are added up if the files are too large.
const selectFileSize = { name: 'select-log-file-size', text: "SELECT pg_total_relation_size('log_chunk') AS bytes" }
const selectBytes = { name: 'select-log-bytes', text: 'SELECT coalesce(sum(bytes), 0) AS bytes FROM log_chunk' }

export async function insertLines(query: Query, chunks: readonly LineChunk[], at: number): Promise<void> {
  await query(insertChunks, [at, ...columns(chunks, 'runId', 'lines', 'text')])
  const sizes = (await query(selectSizes, columns(chunks, 'runId'))).map(({ run, id, lines, bytes }) => {
    return { run: String(run), id: Number(id), lines: Number(lines), bytes: Number(bytes) }
  })
  const cut = [...Map.groupBy(sizes, ({ run }) => run)].flatMap(([run, ofRun]) => {
    const from = keptFrom(ofRun)
    return from === null ? [] : { run, from }
  })
  if (cut.length > 0) await query(removeOlder, columns(cut, 'run', 'from'))
}

export async function readChunks(query: Query, runId: string, fromId: number): Promise<StoredChunk[]> {
  if (!isRunId(runId)) return []
  const rows = await query(selectChunks, [runId, fromId])
  return rows.map(({ id, text }) => ({ id: Number(id), text: String(text) }))
}

export async function pruneLines(query: Query, before: number, maxBytes: number): Promise<number> {
  const old = await query(removeOld, [before])
  if (old.length > 0) return old.length
  if (Number((await query(selectFileSize))[0]?.['bytes']) <= maxBytes) return 0
  const excess = Number((await query(selectBytes))[0]?.['bytes']) - maxBytes
  return excess > 0 ? (await query(removeOldest, [excess])).length : 0
}

const insertFigures = {
  name: 'insert-minutes',
  text: 'INSERT INTO minute (at, task, figures) SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[])',
}
const selectFigures = {
  name: 'select-minutes',
  text: `
    SELECT id, at, figures FROM minute WHERE task = $1 AND at < $2 AND (at, id) > ($3, $4)
    ORDER BY at, id LIMIT ${minutesPerRead}`,
}
const removeOldFigures = {
  name: 'remove-minutes',
  text: `
    WITH oldest AS (SELECT id, at FROM minute ORDER BY id LIMIT ${minutesPerPrune} FOR UPDATE SKIP LOCKED)
    DELETE FROM minute USING oldest WHERE minute.id = oldest.id AND oldest.at < $1 RETURNING minute.id`,
}

export async function insertMinutes(query: Query, rows: readonly MinuteRow[]): Promise<void> {
  await query(insertFigures, columns(rows, 'at', 'task', 'figures'))
}

export async function readMinutes(query: Query, { task, from, to, after }: MinuteRange): Promise<StoredMinute[]> {
  const rows = await query(selectFigures, [task, to, ...(after === null ? [from, -1] : [after.at, after.id])])
  return rows.map(({ id, at, figures }) => ({ id: Number(id), at: Number(at), figures: String(figures) }))
}

export async function pruneMinutes(query: Query, before: number): Promise<number> {
  return (await query(removeOldFigures, [before])).length
}
