/** What the command does with the file of a database: a backup while its owner runs, and the way back. */
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
  /** Where the database is that was there before; null where there was none. */
  readonly kept: string | null
}

/** @returns the process that has the file open; null when none has, or it is not there */
export async function ownerOf(file: string): Promise<string | null> {
  return existsSync(file) ? findOwner(realPathOf(file)) : null
}

/** Copies the database as it is at one commit; `to` appears when the copy was read back and is on the disk. */
export async function backUp(file: string, to: string): Promise<Copied> {
  return withCheckedCopy(realPathOf(file), to, async (copy, report) => {
    await rename(copy, to)
    await syncFile(dirname(resolve(to)))
    return report
  })
}

/** Replaces the database by a backup, which stays. @throws Error when a process has the database open */
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

/** On the file system of `to`, so that it can be renamed to it. */
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
  // Windows syncs no directories.
  const handle = await open(path, process.platform === 'win32' ? 'r+' : 'r').catch(() => null)
  await handle?.sync()
  await handle?.close()
}
