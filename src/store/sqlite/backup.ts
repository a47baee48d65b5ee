/**
 * Backup and restore of a database file: a copy that is made while the owner writes to the file, the check of a copy, and
 * its move to the place of a file that no process has open.
 */
import { chmodSync, chownSync, constants, existsSync, renameSync, rmSync, type Stats, statSync } from 'node:fs'
import { copyFile, open, rm, stat } from 'node:fs/promises'
import { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../domain/errors.ts'
import { checkApplication, migrationFiles, readNumber } from './connection/database.ts'
import { isBusy, isSqliteError } from './connection/node-sqlite.ts'
import { holdLog } from './ownership/ownership.ts'
import { findOwner, listenAsOwner, lockHolder, type OwnerSocket, removeDeadSockets } from './ownership/owner-socket.ts'
import { createReadingVerbs } from './verbs.ts'
import { createTransaction } from './writing/transaction.ts'

const logHeaderBytes = 32
const maxTries = 20
const pageSize = 500
const suffixesOfLogs = ['-wal', '-shm', '-journal']

export interface CopyReport {
  /** null for a file of an older version: its runs are read when the service starts on it. */
  readonly runs: number | null
  /** Reasons why runs cannot be read; the rest of the file is sound. */
  readonly unreadable: readonly string[]
}

/**
 * Copies the file while its owner writes to it. A second connection cannot open such a file, and a backup through the
 * owner's connection would stop the service meanwhile. So this copies the file and its log as they are, and SQLite
 * recovers a whole database from the copies, as it does after a crash.
 *
 * The log only grows until it restarts, and has everything that the owner writes from it into the file. So the copies are
 * the state at one commit, unless the log restarted meanwhile, which changes its header
 * (https://sqlite.org/fileformat2.html#walformat).
 * @param file without symbolic links
 * @param to is overwritten, and so is the log next to it
 * @throws Error when the log restarted during each try
 */
export async function copySnapshot(file: string, to: string): Promise<void> {
  using _ = await holdLog(file)
  for (let tries = 0; tries < maxTries; tries += 1) {
    const before = await stampOf(file)
    await copyFile(file, to, constants.COPYFILE_FICLONE)
    await copyLog(`${file}-wal`, `${to}-wal`)
    if ((await stampOf(file)) === before) return
  }
  throw new Error(`${file} is written to faster than it can be copied: try again when the service has less to do`)
}

/** Changes when the log restarts; without a log, with each write to the file. */
async function stampOf(file: string): Promise<string> {
  const { ino, size, mtimeNs } = await stat(file, { bigint: true })
  const header = await headerOf(`${file}-wal`)
  return `${ino} ${header === '' ? `${size} ${mtimeNs}` : header}`
}

/** @returns an empty text if there is no log */
async function headerOf(log: string): Promise<string> {
  try {
    await using handle = await open(log)
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(logHeaderBytes), 0, logHeaderBytes, 0)
    return buffer.toString('hex', 0, bytesRead)
  } catch (error) {
    if (isMissing(error)) return ''
    throw error
  }
}

async function copyLog(log: string, to: string): Promise<void> {
  try {
    await copyFile(log, to, constants.COPYFILE_FICLONE)
  } catch (error) {
    if (!isMissing(error)) throw error
    await rm(to, { force: true })
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/**
 * Writes the log of a copy into it, so that the copy is one file, and then checks its pages and reads each of its runs.
 * @param original the copied file, for messages
 * @throws Error when it is no database of this program, was written by a newer version, or is damaged
 */
export function checkCopy(path: string, original: string): CopyReport {
  const database = new DatabaseSync(path)
  try {
    checkApplication(database, original)
    const version = readNumber(database, 'PRAGMA user_version')
    const known = migrationFiles().length
    if (version === 0) throw new Error(`${original} is empty`)
    if (version > known) throw new Error(`${original} has schema version ${version}; this program knows ${known}`)
    database.exec('PRAGMA journal_mode = DELETE')
    const damage = database.prepare('PRAGMA integrity_check(1)').get()?.['integrity_check']
    if (damage !== 'ok') throw new Error(`${original} is damaged: ${String(damage)}`)
    return version === known ? readAllRuns(database) : { runs: null, unreadable: [] }
  } catch (error) {
    if (!isSqliteError(error)) throw error
    throw new Error(`${original} cannot be read: ${error.message}`, { cause: error })
  } finally {
    database.close()
  }
}

function readAllRuns(database: DatabaseSync): CopyReport {
  const unreadable: string[] = []
  const transaction = createTransaction(database, { onUnreadable: (message) => unreadable.push(message) })
  const reads = createReadingVerbs(database, transaction)
  let runs = 0
  let beforeId: string | undefined
  for (;;) {
    const page = reads.listRuns({ pageSize, ...(beforeId !== undefined && { beforeId }) })
    for (const { id } of page.runs) {
      try {
        reads.getRun(id)
        runs += 1
      } catch (error) {
        unreadable.push(`run ${id}: ${messageOf(error)}`)
      }
    }
    beforeId = page.runs.at(-1)?.id
    if (!page.hasMore || beforeId === undefined) return { runs, unreadable }
  }
}

/**
 * Replaces a database that no process has open, and keeps the old file. Owns the file meanwhile, so that no service opens
 * it.
 * @param keepAs new path of the old file
 * @returns whether there was an old file
 * @throws Error when another process has it open; BootError when it is the file of another program
 */
export async function replaceFile(file: string, replacement: string, keepAs: string): Promise<boolean> {
  const before = statSync(file, { throwIfNoEntry: false })
  const socket = await takeFile(file)
  try {
    if (before === undefined) {
      // Else SQLite would apply them to the new file.
      for (const suffix of suffixesOfLogs) rmSync(file + suffix, { force: true })
    } else {
      giveTo(replacement, before)
      // The file first: if this process dies in between, a log without a file is left, and not a file in an older state.
      for (const suffix of ['', ...suffixesOfLogs]) {
        if (existsSync(file + suffix)) renameSync(file + suffix, keepAs + suffix)
      }
    }
    renameSync(replacement, file)
    return before !== undefined
  } finally {
    socket?.close()
  }
}

/** Gives the file to the user of the service, who may not be the user that restores. */
function giveTo(path: string, { uid, gid, mode }: Stats): void {
  chmodSync(path, mode)
  try {
    chownSync(path, uid, gid)
  } catch {
    // Only root can do that; any other user keeps its own files.
  }
}

/** Becomes the owner of the file. Writes the log into it first, so that one file is kept; a damaged file stays as it is. */
async function takeFile(file: string): Promise<OwnerSocket | null> {
  const inUse = (owner: string): Error => new Error(`${owner} has ${file} open; stop it first`)
  const owner = await findOwner(file)
  if (owner !== null) throw inUse(owner)
  const database = new DatabaseSync(file, { timeout: 0 })
  try {
    // Under the lock: a service may have started since.
    const newOwner = lock(database, file) ?? (await findOwner(file))
    if (newOwner !== null) throw inUse(newOwner)
    removeDeadSockets(file)
    return await listenAsOwner(file)
  } finally {
    database.close()
  }
}

/** @returns the name of the process that has the file open; null if it is locked now, or too damaged to lock */
function lock(database: DatabaseSync, file: string): string | null {
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    checkApplication(database, file)
    database.exec('BEGIN EXCLUSIVE; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
    return null
  } catch (error) {
    if (isBusy(error)) return lockHolder(file)
    if (isSqliteError(error)) return null
    throw error
  }
}
