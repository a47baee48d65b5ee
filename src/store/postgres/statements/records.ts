/**
 * Records as rows, which every transaction locks in the same order, and the records that this process keeps in memory. A
 * record that cannot be read, because it is damaged or a newer version wrote it, stays as it is and is left out. Statements
 * with a LIMIT exclude the ids of such records: otherwise they could find nothing else.
 */
import { isRunId } from '../../../domain/ids.ts'
import type { Log } from '../../../log.ts'
import { decodeRun, UnreadableRecord } from '../../run-codec.ts'
import type { Query, Row } from '../connection/connection.ts'
import type { Stored } from '../writing/unit-of-work.ts'

interface RecordRow {
  readonly id: string
  readonly version: number
  readonly revision: number
  readonly record: string
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
function decodeRow(row: Row): Stored {
  // The statements select these columns.
  const { id, version, revision, record } = row as unknown as RecordRow
  return { run: decodeRun(record, { id, version }), revision }
}

/** Reads the records with these ids. */
export function selectRuns(query: Query, ids: readonly string[]): Promise<Row[]> {
  return query(selectRecords, [ids.filter(isRunId)])
}

/** As `selectRuns`, and locks them until the end of the transaction. */
export function lockRuns(query: Query, ids: readonly string[]): Promise<Row[]> {
  return query(lockRecords, [ids.filter(isRunId)])
}

/** @throws UnreadableRecord */
export async function readRecord(query: Query, id: string): Promise<Stored | undefined> {
  return (await selectRuns(query, [id])).map(decodeRow)[0]
}

/**
 * Locks the records with these ids.
 * @param cached returns a record in memory, which is used if it is current
 * @throws UnreadableRecord
 */
export async function lockNamed(
  query: Query,
  ids: readonly string[],
  cached: (id: string) => Stored | undefined,
): Promise<Stored[]> {
  return (await lockRuns(query, ids)).map((row) => {
    const stored = cached(String(row['id']))
    return stored !== undefined && stored.revision === row['revision'] ? stored : decodeRow(row)
  })
}

/** After this time an unreadable record is tried again: another process may have written it. */
const keptMs = 60_000
const maxKept = 5_000

/** SQL: whether the run has none of the ids, as a hashed look-up. @param ids SQL of an array */
export function isNone(run: string, ids: string): string {
  return `${run} NOT IN (SELECT unnest(${ids}::uuid[]))`
}

export type RecordDecoder = ReturnType<typeof createRecordDecoder>

export function createRecordDecoder(log: Pick<Log, 'error'>) {
  /** When each unreadable record was last found, on the clock of `performance.now()`; the latest last. */
  const found = new Map<string, number>()

  function note(error: UnreadableRecord): void {
    const { runId } = error
    if (!found.delete(runId))
      log.error({ runId, err: error }, 'a record cannot be read: its jobs wait, and its run is not shown')
    found.set(runId, performance.now())
    for (const oldest of found.keys()) {
      if (found.size <= maxKept) break
      found.delete(oldest)
    }
  }

  return {
    /** Decodes rows with the columns id, version, revision and record, and leaves out unreadable ones. */
    decode: (rows: readonly Row[]): Stored[] =>
      rows.flatMap((row) => {
        try {
          return decodeRow(row)
        } catch (error) {
          if (!(error instanceof UnreadableRecord)) throw error
          note(error)
          return []
        }
      }),
    /** Ids of records that were found unreadable in the last minute. */
    unreadable(): string[] {
      const since = performance.now() - keptMs
      return [...found].flatMap(([runId, at]) => (at >= since ? runId : []))
    },
  }
}

/** Limit for the jobs of all kept records. */
const maxJobs = 32_768

export type RecordCache = ReturnType<typeof createRecordCache>

/**
 * Keeps the records of runs whose jobs this process runs, so that settling a job needs no read. The cache may be outdated:
 * a write compares the revision, and fails if another process has changed the record.
 */
export function createRecordCache() {
  const records = new Map<string, Stored>()
  let jobs = 0

  function forget(runId: string): void {
    const stored = records.get(runId)
    if (stored === undefined) return
    records.delete(runId)
    jobs -= stored.run.jobs.length
  }

  return {
    get: (runId: string): Stored | undefined => records.get(runId),
    /** Keeps the record as a commit left it. */
    keep(stored: Stored): void {
      const { id, jobs: all, state } = stored.run
      // The replies of the two writers can overtake each other.
      if ((records.get(id)?.revision ?? 0) > stored.revision) return
      forget(id)
      if (state !== 'running' || all.every(({ holder }) => holder === null)) return
      records.set(id, stored)
      jobs += all.length
      // A map iterates in order of insertion: the oldest first.
      for (const oldest of records.keys()) {
        if (jobs <= maxJobs) break
        forget(oldest)
      }
    },
    forget,
    /** Call when another process has committed the version. */
    noteVersion(runId: string, version: number): void {
      if ((records.get(runId)?.run.version ?? version) < version) forget(runId)
    },
  }
}
