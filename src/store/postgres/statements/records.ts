/** Records as rows: read, and locked in the one order in which every transaction locks them. */
import { isRunId } from '../../../domain/ids.ts'
import { decodeRun } from '../../record.ts'
import { plainArray } from './arrays.ts'
import type { Query, Row } from '../connection/connection.ts'
import type { Stored } from '../writing/unit.ts'

export interface RecordRow {
  readonly id: string
  readonly version: number
  readonly revision: number
  readonly record: string
}

/** The record is there and this program cannot read it: a newer version wrote it. */
export class UnreadableRecord extends Error {
  override readonly name = 'UnreadableRecord'
}

const selectRecords = {
  name: 'select-records',
  text: 'SELECT id, version, revision, record FROM record WHERE id = ANY($1::uuid[])',
}
const lockRecords = {
  name: 'lock-records',
  text: `${selectRecords.text} ORDER BY id FOR UPDATE`,
}

/** @throws UnreadableRecord */
export function decodeRow({ id, version, revision, record }: RecordRow): Stored {
  try {
    return { run: decodeRun(record, { id, version }), revision }
  } catch (error) {
    throw new UnreadableRecord(`the record of the run ${id} cannot be read`, { cause: error })
  }
}

/** The records of these that there are. */
export async function readRecords(query: Query, ids: readonly string[]): Promise<Stored[]> {
  return rowsOf(await query(selectRecords, [plainArray(ids.filter(isRunId))])).map(decodeRow)
}

/** @param known in memory, which need not be read again where they are current */
export async function lockRuns(
  query: Query,
  ids: readonly string[],
  known: (id: string) => Stored | undefined,
): Promise<Stored[]> {
  const rows = rowsOf(await query(lockRecords, [plainArray(ids.filter(isRunId))]))
  return rows.map((row) => {
    const stored = known(row.id)
    return stored?.revision === row.revision ? stored : decodeRow(row)
  })
}

function rowsOf(rows: readonly Row[]): RecordRow[] {
  // Of the columns above.
  return rows as unknown as RecordRow[]
}
