/**
 * Copies a database file while its owner writes to it. A second connection cannot open such a file, and a backup through
 * the owner's connection would stop the service while it writes the copy. So the files are copied as they are, and SQLite
 * recovers a whole database from the copies, as it does after a crash.
 *
 * The result is the state of one commit, unless the log restarted meanwhile: until a restart the log only grows, and
 * everything that the owner wrote from it into the file is still in it. A restart changes the header of the log
 * (https://sqlite.org/fileformat2.html#walformat).
 */
import { constants } from 'node:fs'
import { copyFile, open, rm, stat } from 'node:fs/promises'
import { holdLog } from './log-hold.ts'

const logHeaderBytes = 32
const maxTries = 20

/**
 * @param file without symbolic links
 * @param to is overwritten, and so is the log beside it
 * @throws Error when the log restarted during each attempt
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

/** Changes when the log begins again; without a log, with each write to the file. */
async function stampOf(file: string): Promise<string> {
  const { ino, size, mtimeNs } = await stat(file, { bigint: true })
  const header = await headerOf(`${file}-wal`)
  return `${ino} ${header === '' ? `${size} ${mtimeNs}` : header}`
}

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
