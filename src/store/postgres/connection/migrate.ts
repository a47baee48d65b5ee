/** Brings the schema up to this version. Several processes may start at once: one of them does it, the others wait. */
import { readdirSync, readFileSync } from 'node:fs'
import { BootError } from '../../../domain/errors.ts'
import type { Connection, Database } from './connection.ts'
import { migrateRows } from './migrate-rows.ts'

/** One lock for all schemas of a database: migrations are rare. Any number will do that nobody else takes. */
const lockId = 0x466f7265

/** The migration whose rows are copied to records, by code, when the tables are as this version has them. */
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
    const known = `this program knows ${files.length} at the most`
    throw new BootError(`the schema ${schema} of the database has version ${applied}; ${known}`)
  }
  // Not where it exists: that would need the right to create others.
  const [found] = await query({ text: 'SELECT 1 FROM pg_namespace WHERE nspname = $1' }, [schema])
  if (found === undefined) await query({ text: `CREATE SCHEMA "${schema}"` })
  await query({ text: 'CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)' })
  const coming = files.slice(applied)
  if (applied > 0 && coming.includes(rowsToRecords)) await refuseBeside(query, schema)
  for (const file of coming) {
    await query({ text: readFileSync(new URL(file, directory), 'utf8') })
  }
  if (coming.includes(rowsToRecords)) await migrateRows(query)
  await query({ text: 'DELETE FROM schema_version' })
  await query({ text: 'INSERT INTO schema_version VALUES ($1)' }, [files.length])
  await query({ text: 'COMMIT' })
}

/** Processes of the version before write tables that are about to go. */
async function refuseBeside(query: Connection['query'], schema: string): Promise<void> {
  const text = "SELECT count(*) AS running FROM process WHERE heartbeat_at > clock_timestamp() - interval '30 s'"
  const [row] = await query({ text })
  const running = Number(row?.['running'])
  if (running === 0) return
  throw new BootError(
    `the schema ${schema} has to be changed for this version, and ${running} processes of an older version use it: ` +
      'stop all of them, wait for half a minute where one of them was killed, and start this one again',
  )
}

async function versionIn(query: Connection['query'], schema: string): Promise<number> {
  // From the catalogue's rows: what to_regclass says can be older than the lock.
  const [found] = await query(
    { text: "SELECT 1 FROM pg_tables WHERE schemaname = $1 AND tablename = 'schema_version'" },
    [schema],
  )
  if (found === undefined) return 0
  const [row] = await query({ text: `SELECT version FROM "${schema}".schema_version` })
  return Number(row?.['version'] ?? 0)
}
