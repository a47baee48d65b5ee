/** Opens the database file: exclusive ownership, durable writes, migrations. Used only inside the store's thread. */
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { BootError, messageOf } from '../../../domain/errors.ts'
import { type OldJob, type OldRun, runOfRows } from '../../old-rows.ts'
import { findOwner, listenAsOwner, lockHolder, type OwnerSocket, removeDeadSockets } from '../ownership/owner-socket.ts'
import { createTransaction } from '../writing/transaction.ts'
import { isBusy, remedyOf } from './node-sqlite.ts'

const memory = ':memory:'
const retryEveryMs = 50
/** When this migration is applied, code also copies runs from the old tables to records. */
const rowsToRecords = '0005-one-record.sql'
/** Number of copied runs that stay in memory before they are written. */
const runsPerFlush = 1_000
/** Marks a file as ours (https://sqlite.org/pragma.html#pragma_application_id): "Fore". */
const applicationId = 0x466f7265
const migrations = new URL('../migrations/', import.meta.url)

export interface OpenedDatabase {
  readonly database: DatabaseSync
  /** Absolute and without links; null for a database in memory. */
  readonly file: string | null
  /** null for a database in memory, and where the system has no place for a socket. */
  readonly socket: OwnerSocket | null
}

export interface OpenOptions {
  /** Of the file, made with its directory when missing; `:memory:` for a database that ends with the process. */
  readonly path: string
  /** How long to wait for another process to leave the file. */
  readonly waitMs: number
  /** Called once if it has to wait. */
  readonly onWait: (owner: string) => void
}

/** @throws BootError when the file cannot be opened, is in use, or was written by a newer version */
export async function openDatabase({ path, waitMs, onWait }: OpenOptions): Promise<OpenedDatabase> {
  const startedAt = performance.now()
  let isWaiting = false
  for (;;) {
    const opened = await tryOpen(path)
    if (typeof opened !== 'string') return opened
    if (performance.now() - startedAt >= waitMs) throw new BootError(`${opened} is using the database ${path}`)
    if (!isWaiting) onWait(opened)
    isWaiting = true
    await pause(retryEveryMs)
  }
}

/** @returns the opened database, or the name of the process that uses the file */
async function tryOpen(path: string): Promise<OpenedDatabase | string> {
  try {
    if (path === memory) return { database: prepare(new DatabaseSync(path), path), file: null, socket: null }
    makeDirectory(dirname(resolve(path)))
    const file = realPathOf(path)
    checkLinks(file, path)
    // Checks before it opens the file, because opening writes to it: a living owner may have lost its lock.
    return (await findOwner(file)) ?? (await openFile(path, file))
  } catch (error) {
    if (error instanceof BootError) throw error
    if (isBusy(error)) return lockHolder(path)
    throw new BootError(`cannot open the database ${path}: ${messageOf(error)}${remedyOf(error)}`, error)
  }
}

async function openFile(path: string, file: string): Promise<OpenedDatabase | string> {
  const database = new DatabaseSync(path, { timeout: 0 })
  let socket: OwnerSocket | null = null
  try {
    // Must precede the first read. Then SQLite keeps the index of the log in the memory of this process, and no second
    // process can open the file.
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    checkApplication(database, path)
    const owner = await findOwner(file)
    if (owner !== null) {
      database.close()
      return owner
    }
    removeDeadSockets(file)
    socket = await listenAsOwner(file)
    return { database: prepare(database, path), file, socket }
  } catch (error) {
    database.close()
    socket?.close()
    throw error
  }
}

function prepare(database: DatabaseSync, path: string): DatabaseSync {
  database.exec('PRAGMA journal_mode = WAL')
  database.exec('PRAGMA synchronous = FULL')
  // Without it macOS acknowledges an fsync before the data is on the disk; elsewhere it does nothing.
  database.exec('PRAGMA fullfsync = ON')
  migrate(database, path)
  return database
}

/** Makes directories one by one: `recursive` loops where the system denies that an existing directory exists. */
export function makeDirectory(path: string): void {
  if (existsSync(path) || dirname(path) === path) return
  makeDirectory(dirname(path))
  try {
    mkdirSync(path)
  } catch (error) {
    // Another process may have made it.
    if (!existsSync(path)) throw error
  }
}

/** The path by which SQLite names the file, even before it exists. */
export function realPathOf(path: string): string {
  const absolute = resolve(path)
  return existsSync(absolute) ? realpathSync(absolute) : join(realpathSync(dirname(absolute)), basename(absolute))
}

/** The names of SQLite's log and of the owner's socket derive from the file's: by another name, neither is found. */
function checkLinks(file: string, path: string): void {
  const names = statSync(file, { throwIfNoEntry: false })?.nlink ?? 1
  if (names <= 1) return
  throw new BootError(
    `the database ${path} has ${names} names (hard links), and may have one: copy it, or remove the others`,
  )
}

/** Call before anything in the file is changed. @throws BootError for the file of another program */
export function checkApplication(database: DatabaseSync, path: string): void {
  const isNew = readNumber(database, 'SELECT count(*) FROM sqlite_schema') === 0
  if (!isNew && readNumber(database, 'PRAGMA application_id') !== applicationId) {
    throw new BootError(`the database ${path} belongs to another program`)
  }
}

export function readNumber(database: DatabaseSync, sql: string): number {
  return Number(Object.values(database.prepare(sql).get() ?? {})[0])
}

/** Names of the migrations, in order; their number is the schema version of an up-to-date file. */
export function migrationFiles(): string[] {
  return readdirSync(migrations)
    .filter((name) => name.endsWith('.sql'))
    .toSorted()
}

function migrate(database: DatabaseSync, path: string): void {
  const files = migrationFiles()
  database.exec('BEGIN EXCLUSIVE')
  const applied = readNumber(database, 'PRAGMA user_version')
  if (applied > files.length) {
    const known = `this program knows at most ${files.length}`
    throw new BootError(`the database ${path} has schema version ${applied}; ${known}`)
  }
  const pending = files.slice(applied)
  for (const file of pending) database.exec(readFileSync(new URL(file, migrations), 'utf8'))
  // After all migrations: it writes to the tables of this version.
  if (pending.includes(rowsToRecords)) copyRowsToRecords(database)
  database.exec(`PRAGMA application_id = ${applicationId}`)
  database.exec(`PRAGMA user_version = ${files.length}`)
  database.exec('COMMIT')
}

/** Older versions wrote a row for each run and each job. */
function copyRowsToRecords(database: DatabaseSync): void {
  const tally = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  const selectJobs = database.prepare('SELECT * FROM old_job WHERE run_id = ? ORDER BY job_index')
  const transaction = createTransaction(database)
  let copied = 0
  // Gives the records keys in the order of their ids.
  for (const row of database.prepare('SELECT * FROM old_run ORDER BY id').iterate()) {
    const run = row as unknown as OldRun
    transaction.add(runOfRows(run, selectJobs.all(run.id) as unknown as OldJob[], null))
    copied += 1
    if (copied % runsPerFlush === 0) transaction.flush()
  }
  transaction.flush()
  // Keeps the old totals, because they also count removed runs.
  if (tally !== undefined) database.prepare('UPDATE tally SET totals = ? WHERE id = 1').run(String(tally['totals']))
  database.exec('DROP TABLE old_run; DROP TABLE old_job; DROP TABLE old_run_tag')
}
