/** Backup and restore of a SQLite file, for the command; a backup is possible while the service runs. */
import { existsSync, rmSync } from 'node:fs'
import { mkdtemp, open, rename, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { checkCopy, type CopyReport, copySnapshot, replaceFile } from './store/sqlite/backup.ts'
import { makeDirectory, realPathOf } from './store/sqlite/connection/database.ts'
import { findOwner } from './store/sqlite/ownership/owner-socket.ts'

export interface Copied extends CopyReport {
  readonly bytes: number
}

export interface Restored extends Copied {
  /** Where the previous database was moved; null: there was none. */
  readonly kept: string | null
}

/** @returns the process that has the file open; null: none, or there is no such file */
export async function ownerOf(file: string): Promise<string | null> {
  return existsSync(file) ? findOwner(realPathOf(file)) : null
}

/** Copies the database as of one commit. `to` appears once the copy is checked and durable. */
export async function backUp(file: string, to: string): Promise<Copied> {
  return withCheckedCopy(realPathOf(file), to, async (copy, report) => {
    await rename(copy, to)
    await syncFile(dirname(resolve(to)))
    return report
  })
}

/** Replaces the database by a copy of the backup. @throws Error when a process has the database open */
export async function restore(backup: string, file: string): Promise<Restored> {
  makeDirectory(dirname(resolve(file)))
  const target = realPathOf(file)
  const keepAs = `${target}.replaced-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
  return withCheckedCopy(realPathOf(backup), target, async (copy, report) => {
    const isKept = await replaceFile(target, copy, keepAs)
    await syncFile(dirname(target))
    return { ...report, kept: isKept ? keepAs : null }
  })
}

/** Makes the copy in the directory of `to`, so that it can be renamed to it. */
async function withCheckedCopy<Result>(
  file: string,
  to: string,
  use: (copy: string, report: Copied) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(dirname(resolve(to)), `.${basename(to)}-`))
  const copy = join(directory, 'copy.db')
  const removeCopy = (): void => rmSync(directory, { recursive: true, force: true })
  process.once('exit', removeCopy)
  try {
    await copySnapshot(file, copy)
    const report = checkCopy(copy, file)
    await syncFile(copy)
    return await use(copy, { ...report, bytes: (await stat(copy)).size })
  } finally {
    process.off('exit', removeCopy)
    removeCopy()
  }
}

async function syncFile(path: string): Promise<void> {
  // Windows cannot sync a directory.
  const handle = await open(path, process.platform === 'win32' ? 'r+' : 'r').catch(() => null)
  await handle?.sync()
  await handle?.close()
}
