/** Replaces a database that no process has open. The old file is kept beside it. */
import { chmodSync, chownSync, existsSync, renameSync, rmSync, statSync, type Stats } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { checkOwnership } from '../connection/database.ts'
import { lockHolder } from '../ownership/lock-holder.ts'
import { findOwner, listenAsOwner, removeDeadSockets, type OwnerSocket } from '../ownership/owner-socket.ts'
import { isBusy } from '../connection/errors.ts'

const besides = ['-wal', '-shm', '-journal']

/**
 * Owns the file meanwhile, as a service does, so that no service starts in between.
 * @param keepAs path under which the old file is kept
 * @returns whether there was an old file
 * @throws Error when another process has it open, BootError when it is the file of another program
 */
export async function replaceFile(file: string, replacement: string, keepAs: string): Promise<boolean> {
  const before = statSync(file, { throwIfNoEntry: false })
  const socket = await takeFile(file)
  try {
    if (before !== undefined) {
      giveTo(replacement, before)
      // The log second: the file without its log would be older, and a log without its file is useless.
      for (const ending of ['', ...besides]) if (existsSync(file + ending)) renameSync(file + ending, keepAs + ending)
    } else for (const ending of besides) rmSync(file + ending, { force: true })
    renameSync(replacement, file)
    return before !== undefined
  } finally {
    socket?.close()
  }
}

/** Gives the file to the service's user, which need not be the one that restores. */
function giveTo(path: string, { uid, gid, mode }: Stats): void {
  chmodSync(path, mode)
  try {
    chownSync(path, uid, gid)
  } catch {
    // Only root can do that; any other user keeps its own files.
  }
}

/** Writes the log into the file first, so that one file is kept; a damaged file stays as it is. */
async function takeFile(file: string): Promise<OwnerSocket | null> {
  const inUse = (owner: string): Error => new Error(`${owner} has ${file} open; stop it first`)
  const owner = await findOwner(file)
  if (owner !== null) throw inUse(owner)
  const database = new DatabaseSync(file, { timeout: 0 })
  try {
    const holder = lock(database, file)
    const newOwner = holder ?? (await findOwner(file))
    if (newOwner !== null) throw inUse(newOwner)
    removeDeadSockets(file)
    return await listenAsOwner(file)
  } finally {
    database.close()
  }
}

/** @returns the name of the process that has it open, if any */
function lock(database: DatabaseSync, file: string): string | null {
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE')
    checkOwnership(database, file)
    database.exec('BEGIN EXCLUSIVE; COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
    return null
  } catch (error) {
    if (isBusy(error)) return lockHolder(file)
    if (error instanceof Error && 'errcode' in error) return null
    throw error
  }
}
