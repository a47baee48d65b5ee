/** What the doctor finds out about a database without opening it as a service would. */
import { messageOf } from '../domain/errors.ts'
import { constants } from 'node:fs'
import { access, open, stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isPostgres, shownDatabase } from '../config.ts'

/** One thing that the doctor has looked at. */
export interface Check {
  readonly name: string
  /** `fail` makes the exit code 1. */
  readonly state: 'ok' | 'warn' | 'fail'
  readonly detail: string
}

const mib = 1024 * 1024
const littleBytes = 512 * mib
const tooLittleBytes = 16 * mib
const connectLimitMs = 5_000
const magic = 'SQLite format 3\0'

export async function checkDatabase(databaseUrl: string): Promise<Check[]> {
  if (isPostgres(databaseUrl)) return [await checkPostgres(databaseUrl)]
  const path = databaseUrl.slice('sqlite:'.length)
  if (path === ':memory:') return [{ name: 'database', state: 'warn', detail: 'in memory: nothing of it is kept' }]
  return [await checkFile(resolve(path)), await checkDisk(resolve(path))]
}

async function checkPostgres(url: string): Promise<Check> {
  const name = 'database'
  try {
    const { default: pg } = await import('pg')
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: connectLimitMs })
    client.on('error', () => {})
    await client.connect()
    try {
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version')
      return { name, state: 'ok', detail: `${shownDatabase(url)}, PostgreSQL ${rows[0]?.server_version}` }
    } finally {
      await client.end()
    }
  } catch (error) {
    return { name, state: 'fail', detail: `${shownDatabase(url)}: ${messageOf(error)}` }
  }
}

async function checkFile(path: string): Promise<Check> {
  const name = 'database'
  try {
    const stats = await stat(path).catch(() => null)
    if (stats === null) {
      const directory = await nearestDirectory(path)
      await access(directory, constants.W_OK)
      return { name, state: 'ok', detail: `${path} will be made at the first start` }
    }
    await access(path, constants.R_OK | constants.W_OK)
    await access(dirname(path), constants.W_OK)
    if (stats.size > 0 && (await beginningOf(path)) !== magic) {
      return { name, state: 'fail', detail: `${path} is no SQLite database` }
    }
    const { ownerOf } = await import('../database-file.ts')
    const owner = (await ownerOf(path)) ?? 'no process'
    return { name, state: 'ok', detail: `${path}, ${Math.ceil(stats.size / mib)} MiB; ${owner} has it open` }
  } catch (error) {
    return { name, state: 'fail', detail: messageOf(error) }
  }
}

async function checkDisk(path: string): Promise<Check> {
  const name = 'disk'
  try {
    const { bavail, bsize } = await statfs(await nearestDirectory(path))
    const free = bavail * bsize
    const state = free < tooLittleBytes ? 'fail' : free < littleBytes ? 'warn' : 'ok'
    return { name, state, detail: `${Math.floor(free / mib)} MiB are free` }
  } catch (error) {
    return { name, state: 'fail', detail: messageOf(error) }
  }
}

async function nearestDirectory(path: string): Promise<string> {
  const directory = dirname(path)
  const stats = await stat(directory).catch(() => null)
  if (stats?.isDirectory() === true) return directory
  if (stats !== null || directory === path) throw new Error(`${directory} is no directory`)
  return nearestDirectory(directory)
}

async function beginningOf(path: string): Promise<string> {
  await using file = await open(path)
  const { buffer } = await file.read(Buffer.alloc(magic.length), 0, magic.length, 0)
  return buffer.toString('latin1')
}
