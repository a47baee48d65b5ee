/** Prepares the database: waits for the server, checks the sessions, migrates the schema, and registers this process. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { BootError, messageOf } from '../../../domain/errors.ts'
import type { Log } from '../../../log.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { type OldJob, type OldRun, runOfRows } from '../../old-rows.ts'
import { lowestUuid } from '../statements/lists.ts'
import { saveWrites } from '../statements/save.ts'
import { noProcess, totalColumns } from '../statements/totals.ts'
import { createUnitOfWork } from '../writing/unit-of-work.ts'
import type { Connect, Connection, Database, Query, Row } from './connection.ts'
import { isFailure } from './errors.ts'

const pauseMs = 250

const register = {
  text: `
    WITH own AS (INSERT INTO process (heartbeat_at, tasks, has_search) VALUES (clock_timestamp(), $1, $2) RETURNING id),
    -- Also without search: when this process is gone, others index the runs that it has written.
    progress AS (INSERT INTO search_progress (process, since) SELECT id, $3 FROM own)
    SELECT id, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now FROM own`,
}

export interface Registration {
  /** Tasks that run here; null: any. */
  readonly tasks: readonly string[] | null
  /** Whether this process writes the index for search. */
  readonly hasSearch: boolean
  /** Now, by the clock of this process. */
  readonly at: number
  /** How long to wait for a server that cannot be reached, in milliseconds. */
  readonly waitMs: number
  readonly clock: Clock
  readonly log: Log
}

/**
 * @returns the number of this process
 * @throws BootError
 */
export async function prepareDatabase(
  connect: Connect,
  database: Database,
  { tasks, hasSearch, at, waitMs, clock, log }: Registration,
): Promise<number> {
  try {
    const connection = await connectWithin(connect, waitMs)
    const second = connect('migrate')
    try {
      await checkSessions(connection, await second)
      await migrate(connection, database)
      const [own] = await connection.query(register, [tasks, hasSearch, at])
      warnOfClock(clock.now() - Number(own?.['now']), log)
      return Number(own?.['id'])
    } finally {
      await Promise.allSettled([connection.end(), second.then((other) => other.end())])
    }
  } catch (error) {
    const reason = messageOf(error)
    throw new BootError(`the database ${nameOf(database.url)} cannot be used: ${reason}`, error)
  }
}

/** Synchronized clocks differ by less. */
const maxAheadMs = 5_000

function warnOfClock(aheadMs: number, log: Log): void {
  if (Math.abs(aheadMs) < maxAheadMs) return
  const difference = `${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'}`
  const message = `the clock of this process is ${difference} that of the database: delays, expiry, schedules and retention go by it`
  log.warn({ aheadMs }, message)
}

async function connectWithin(connect: Connect, waitMs: number): Promise<Connection> {
  const deadline = performance.now() + waitMs
  for (;;) {
    try {
      return await connect('migrate')
    } catch (error) {
      if (!isFailure(error, 'lost') || performance.now() > deadline) throw error
      await sleep(pauseMs)
    }
  }
}

/** Without user and password. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname}`
}

const protocolViolation = '08P01'
const selectPid = { text: 'SELECT pg_backend_pid() AS pid' }
/** A pooler with several sessions rarely picks the same ones this often. */
const maxChecks = 3

/**
 * Checks that each connection has its own session of the server.
 * @param other a second connection to the same address
 * @throws BootError if a pooler shares sessions. @throws DatabaseFailure
 */
async function checkSessions(one: Connection, other: Connection): Promise<void> {
  const pidOf = async ({ query }: Connection): Promise<unknown> => (await query(selectPid))[0]?.['pid']
  const own = await pidOf(one)
  for (let check = 0; check < maxChecks; check += 1) {
    // In the transaction, a pooler in transaction mode keeps a session for `other` alone: if that was the session of `one`, `one`
    // now gets another.
    await other.query({ text: 'BEGIN' }).catch((error: unknown) => {
      // A pooler in statement mode refuses transactions.
      throw isFailure(error) && error.code === protocolViolation ? new BootError(remedy, error) : error
    })
    const isShared = (await pidOf(other)) === own || (await pidOf(one)) !== own
    await other.query({ text: 'COMMIT' })
    if (isShared) throw new BootError(remedy)
  }
}

const remedy =
  'a pooler gives each transaction another session of the server (PgBouncer: pool_mode = transaction or statement), and LISTEN, ' +
  'settings and prepared statements need one session: use the address of PostgreSQL itself, or pool_mode = session'

/** Id of the advisory lock: one for all schemas of a database, because migrations are rare. */
const lockId = 0x466f7265

/** If this migration is applied, code then copies rows to records, in the tables of this version. */
const rowsToRecords = '0005-one-record.sql'

const directory = new URL('../migrations/', import.meta.url)

/** @throws BootError when the schema was written by a newer version. @throws DatabaseFailure */
export async function migrate({ query }: Connection, { schema }: Database): Promise<void> {
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .toSorted()
  if ((await versionIn(query, schema)) === files.length) return
  await query({ text: 'BEGIN' })
  await query({ text: `SELECT pg_advisory_xact_lock(${lockId})` })
  const applied = await versionIn(query, schema)
  if (applied > files.length) {
    const known = `this program knows at most ${files.length}`
    throw new BootError(`the schema ${schema} of the database has version ${applied}; ${known}`)
  }
  // Even if the schema exists, CREATE SCHEMA requires a right that the role may not have.
  const [found] = await query({ text: 'SELECT 1 FROM pg_namespace WHERE nspname = $1' }, [schema])
  if (found === undefined) await query({ text: `CREATE SCHEMA "${schema}"` })
  await query({ text: 'CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)' })
  const pending = files.slice(applied)
  if (applied > 0 && pending.includes(rowsToRecords)) await refuseWhileOthersRun(query, schema)
  for (const file of pending) {
    await query({ text: readFileSync(new URL(file, directory), 'utf8') })
  }
  if (pending.includes(rowsToRecords)) await migrateRows(query)
  await query({ text: 'DELETE FROM schema_version' })
  await query({ text: 'INSERT INTO schema_version VALUES ($1)' }, [files.length])
  await query({ text: 'COMMIT' })
}

/** Processes of an older version may write tables that are about to be dropped. @throws BootError */
async function refuseWhileOthersRun(query: Query, schema: string): Promise<void> {
  const text = "SELECT count(*) AS running FROM process WHERE heartbeat_at > clock_timestamp() - interval '30 s'"
  const [row] = await query({ text })
  const running = Number(row?.['running'])
  if (running === 0) return
  throw new BootError(
    `the schema ${schema} has to be changed for this version, and ${running} processes of an older version use it: ` +
      'stop all of them, wait for half a minute where one of them was killed, and start this one again',
  )
}

async function versionIn(query: Query, schema: string): Promise<number> {
  // A query of the catalogue sees what was committed before this process got the lock; to_regclass may not.
  const [found] = await query(
    { text: "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version'" },
    [schema],
  )
  if (found === undefined) return 0
  const [row] = await query({ text: `SELECT version FROM "${schema}".schema_version` })
  return Number(row?.['version'] ?? 0)
}

interface RunRow extends OldRun {
  /** Bytes of the texts of the run's jobs. */
  readonly bytes: number
}

/** Limits for the runs that are copied at once; at least one run is. */
const maxRuns = 500
const maxBytes = 16 * 2 ** 20
const selectRuns = {
  text: `
    SELECT *, (
      SELECT sum(coalesce(octet_length(input), 0) + coalesce(octet_length(result), 0) + octet_length(failures))
      FROM old_job WHERE run_id = old_run.id) AS bytes
    FROM old_run WHERE id > $1 ORDER BY id LIMIT ${maxRuns}`,
}
const selectJobs = { text: 'SELECT * FROM old_job WHERE run_id = ANY($1::uuid[]) ORDER BY run_id, job_index' }

/** Copies all runs of the old tables to records, in the transaction of the migration. */
async function migrateRows(query: Query): Promise<void> {
  let last = lowestUuid
  for (;;) {
    const rows = boundedRows(await query(selectRuns, [last]))
    const end = rows.at(-1)
    if (end === undefined) break
    last = end.id
    const jobs = await query(selectJobs, [rows.map(({ id }) => id)])
    const jobsOf = Map.groupBy(jobs, (row) => String(row['run_id']))
    const unit = createUnitOfWork([])
    // The statements select these columns. Jobs that ran before the migration are rescued, because no process holds them.
    for (const row of rows) unit.add(runOfRows(row, (jobsOf.get(row.id) ?? []) as unknown as OldJob[], noProcess))
    await saveWrites(query, { processId: noProcess, writer: 0 }, unit.finish())
  }
  // The old totals replace those of the copied runs: they also count runs that were removed since.
  await query({ text: 'DELETE FROM tally' })
  // The old version had no blocked jobs.
  const sums = totalColumns.map((column) => (column === 'jobs_blocked' ? '0' : `sum(${column})`)).join(', ')
  await query({ text: `INSERT INTO tally SELECT ${noProcess}, 0, ${sums} FROM old_tally HAVING count(*) > 0` })
  await query({ text: 'DROP TABLE old_run, old_job, old_tally' })
}

function boundedRows(rows: readonly Row[]): RunRow[] {
  const taken: RunRow[] = []
  let bytes = 0
  // The statement selects these columns.
  for (const row of rows as unknown as readonly RunRow[]) {
    bytes += row.bytes
    if (taken.length > 0 && bytes > maxBytes) break
    taken.push(row)
  }
  return taken
}
