/** Brings the schema up to this version. Several processes may start at once: one of them does it, the others wait. */
import { readdirSync, readFileSync } from 'node:fs'
import { BootError } from '../../domain/errors.ts'
import type { Connection, Database } from './connection.ts'

/** One lock for all schemas of a database: migrations are rare. Any number will do that nobody else takes. */
const lockId = 0x466f7265

const directory = new URL('./migrations/', import.meta.url)

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
  for (const file of files.slice(applied)) await query({ text: readFileSync(new URL(file, directory), 'utf8') })
  await query({ text: 'DELETE FROM schema_version' })
  await query({ text: 'INSERT INTO schema_version VALUES ($1)' }, [files.length])
  await query({ text: 'COMMIT' })
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
