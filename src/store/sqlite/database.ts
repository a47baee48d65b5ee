/** Opens the database file: durable pragmas, exclusive ownership, migrations. Used only inside the store's thread. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { BootError } from '../../domain/errors.ts'
import { isBusy } from './sqlite-errors.ts'

const memory = ':memory:'
const retryEveryMs = 50
/** Marks a file as ours (https://sqlite.org/pragma.html#pragma_application_id): "Fore". */
const applicationId = 0x466f7265

/**
 * @param path of the file, made with its directory when missing; `:memory:` for a store that ends with the process
 * @param waitMs how long to wait for another process to let go of the file
 * @throws BootError when the file cannot be opened, is in use, or was written by a newer version
 */
export function openDatabase(path: string, waitMs: number): DatabaseSync {
  const deadline = Date.now() + waitMs
  for (;;) {
    try {
      return tryOpen(path)
    } catch (error) {
      if (error instanceof BootError) throw error
      if (!isBusy(error)) throw new BootError(`cannot open the database ${path}: ${messageOf(error)}`, error)
      if (Date.now() >= deadline) throw new BootError(`another process is using the database ${path}`, error)
      // The only thing this thread has to do is to open the file, so it may block.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, retryEveryMs)
    }
  }
}

function tryOpen(path: string): DatabaseSync {
  if (path !== memory) mkdirSync(dirname(path), { recursive: true })
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // Exclusive before the first read: the WAL index then lives in this process's memory, and no second one gets in.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    checkOwnership(database, path)
    database.exec('PRAGMA journal_mode = WAL')
    database.exec('PRAGMA synchronous = FULL')
    // Without it macOS acknowledges an fsync before the data is on the disk; elsewhere it does nothing.
    database.exec('PRAGMA fullfsync = ON')
    database.exec('PRAGMA cache_size = -32768')
    migrate(database, path)
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** Before anything is changed in it. */
function checkOwnership(database: DatabaseSync, path: string): void {
  const isNew = readNumber(database, 'SELECT count(*) FROM sqlite_schema') === 0
  if (!isNew && readNumber(database, 'PRAGMA application_id') !== applicationId) {
    throw new BootError(`the database ${path} belongs to another program`)
  }
}

function readNumber(database: DatabaseSync, sql: string): number {
  return Number(Object.values(database.prepare(sql).get() ?? {})[0])
}

function migrate(database: DatabaseSync, path: string): void {
  const directory = new URL('./migrations/', import.meta.url)
  const files = readdirSync(directory)
    .filter((name) => name.endsWith('.sql'))
    .toSorted()
  database.exec('BEGIN EXCLUSIVE')
  const applied = readNumber(database, 'PRAGMA user_version')
  if (applied > files.length) {
    const known = `this program knows ${files.length} at the most`
    throw new BootError(`the database ${path} has schema version ${applied}; ${known}`)
  }
  for (const file of files.slice(applied)) database.exec(readFileSync(new URL(file, directory), 'utf8'))
  database.exec(`PRAGMA application_id = ${applicationId}`)
  database.exec(`PRAGMA user_version = ${files.length}`)
  database.exec('COMMIT')
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
