/** Records as rows: read, and locked in the one order in which every transaction locks them. */
import { isRunId } from '../../../domain/ids.ts'
import { decodeRun } from '../../record.ts'
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
  readonly runId: string

  constructor(runId: string, cause: unknown) {
    super(`the record of the run ${runId} cannot be read`, { cause })
    this.runId = runId
  }
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
    throw new UnreadableRecord(id, error)
  }
}

/** The records of these that there are. */
export async function selectRuns(query: Query, ids: readonly string[]): Promise<RecordRow[]> {
  return rowsOf(await query(selectRecords, [ids.filter(isRunId)]))
}

/** As `selectRuns`; they are locked by the transaction. */
export async function lockRuns(query: Query, ids: readonly string[]): Promise<RecordRow[]> {
  return rowsOf(await query(lockRecords, [ids.filter(isRunId)]))
}

/** @throws UnreadableRecord */
export async function readRecord(query: Query, id: string): Promise<Stored | undefined> {
  return (await selectRuns(query, [id])).map(decodeRow)[0]
}

/**
 * Locks runs that were named to this process.
 * @param known in memory, which need not be read again where they are current
 * @throws UnreadableRecord
 */
export async function lockNamed(
  query: Query,
  ids: readonly string[],
  known: (id: string) => Stored | undefined,
): Promise<Stored[]> {
  return (await lockRuns(query, ids)).map((row) => {
    const stored = known(row.id)
    return stored?.revision === row.revision ? stored : decodeRow(row)
  })
}

/** As these statements select them. */
export function rowsOf(rows: readonly Row[]): RecordRow[] {
  return rows as unknown as RecordRow[]
}
