/** Puts another database in the place of one that nobody has open. What was there is kept beside it. */
import { chmodSync, chownSync, existsSync, renameSync, rmSync, statSync, type Stats } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { checkOwnership } from '../connection/database.ts'
import { lockHolder } from '../ownership/lock-holder.ts'
import { findOwner, listenAsOwner, removeDeadSockets, type OwnerSocket } from '../ownership/owner-socket.ts'
import { isBusy } from '../connection/errors.ts'

const besides = ['-wal', '-shm', '-journal']

/**
 * Owns the file meanwhile, as a service does, so that none starts in between.
 * @param keepAs where the file that was there is then
 * @returns whether there was one
 * @throws Error when somebody else has it open, BootError when it is the file of another program
 */
export async function replaceFile(file: string, replacement: string, keepAs: string): Promise<boolean> {
  const before = statSync(file, { throwIfNoEntry: false })
  const socket = await takeFile(file)
  try {
    if (before !== undefined) {
      giveTo(replacement, before)
      // The log second: without it the file would be older than it was, and the log alone is nothing.
      for (const ending of ['', ...besides]) if (existsSync(file + ending)) renameSync(file + ending, keepAs + ending)
    } else for (const ending of besides) rmSync(file + ending, { force: true })
    renameSync(replacement, file)
    return before !== undefined
  } finally {
    socket?.close()
  }
}

/** Whoever restores need not be the user of the service. */
function giveTo(path: string, { uid, gid, mode }: Stats): void {
  chmodSync(path, mode)
  try {
    chownSync(path, uid, gid)
  } catch {
    // Only the system's own user can, and any other one has its own files.
  }
}

/** Has SQLite take the log into the file first, so that what is kept is one file; a damaged one stays as it is. */
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

/** @returns who else has it open */
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
