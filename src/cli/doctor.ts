/** forerunner doctor: checks what a service on this machine needs, and the service that should be running. */
import { constants } from 'node:fs'
import { access, open, stat, statfs } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { ProblemError } from '../client/transport.ts'
import { type Config, doubtsAbout, isPostgres, readConfig, shownDatabase } from '../config.ts'
import { messageOf } from '../domain/errors.ts'
import { version } from '../runtime/package.ts'
import { listTaskFiles } from '../tasks/registry.ts'
import { type AddCommand, type Context, exitCodes } from './context.ts'
import { clean, print, printJson, styled } from './terminal.ts'

const colours = { ok: 'green', warn: 'yellow', fail: 'red' } as const
/** Further apart, instants of this machine and of the service are confusing. */
const maxSkewMs = 5_000
const answerLimitMs = 5_000
const ownVersions = `forerunner ${version}, Node ${process.versions.node}, SQLite ${process.versions['sqlite']}`

export const addDoctor: AddCommand = (program, act) => {
  program
    .command('doctor')
    .description('look for what keeps a service from working; exit code 1 when there is something')
    .action(
      act(async (context: Context) => {
        const checks = [
          { name: 'versions', state: 'ok', detail: ownVersions } as const,
          ...(await checkSettings(context)),
          ...(await checkService(context)),
        ]
        const isWell = checks.every(({ state }) => state !== 'fail')
        if (context.isJson) printJson({ ok: isWell, checks })
        else
          for (const { name, state, detail } of checks) {
            print(`${styled(colours[state], state.padEnd(4))}  ${name.padEnd(13)}  ${clean(detail)}`)
          }
        return isWell ? exitCodes.done : exitCodes.failed
      }),
    )
}

async function checkSettings({ environment }: Context): Promise<Check[]> {
  let config: Config
  try {
    config = readConfig(environment)
  } catch (error) {
    return [{ name: 'configuration', state: 'fail', detail: messageOf(error) }]
  }
  const doubts = doubtsAbout(config).map((detail): Check => ({ name: 'configuration', state: 'warn', detail }))
  const fine: Check = { name: 'configuration', state: 'ok', detail: `every variable can be used` }
  return [
    ...(doubts.length > 0 ? doubts : [fine]),
    await checkTasks(config),
    ...(await checkDatabase(config.databaseUrl)),
  ]
}

/** Their files alone: loading them runs what is in them. */
async function checkTasks({ tasksDir }: Config): Promise<Check> {
  const name = 'tasks'
  try {
    const { tasks } = await listTaskFiles(tasksDir)
    if (tasks.length === 0) return { name, state: 'warn', detail: `there are no tasks in ${tasksDir}` }
    return { name, state: 'ok', detail: `${tasks.length} in ${tasksDir}: ${tasks.map((task) => task.name).join(', ')}` }
  } catch (error) {
    return { name, state: 'fail', detail: messageOf(error) }
  }
}

async function checkService({ url, client, environment }: Context): Promise<Check[]> {
  const base = url.endsWith('/') ? url : `${url}/`
  let ready: Response
  try {
    ready = await fetch(new URL('readyz', base), { signal: AbortSignal.timeout(answerLimitMs) })
  } catch {
    return [{ name: 'service', state: 'warn', detail: `none answers at ${url}` }]
  }
  const checks: Check[] = [await readinessOf(ready, url), clockOf(ready), ...(await versionOf(base, environment))]
  try {
    const { conservation, unknownTasks } = await client.stats({ signal: AbortSignal.timeout(answerLimitMs) })
    const unknown = Object.keys(unknownTasks)
    const tasks = await client.listTasks({ signal: AbortSignal.timeout(answerLimitMs) })
    const paused = tasks.flatMap((task) => (task.paused ? [task.name] : []))
    if (conservation.lost !== 0) checks.push({ name: 'jobs', state: 'fail', detail: `${conservation.lost} are lost` })
    else if (unknown.length > 0)
      checks.push({ name: 'jobs', state: 'warn', detail: `no process runs ${unknown.join(', ')}` })
    else if (paused.length > 0) checks.push({ name: 'jobs', state: 'warn', detail: `paused: ${paused.join(', ')}` })
    else checks.push({ name: 'jobs', state: 'ok', detail: `none lost of ${conservation.accepted}` })
  } catch (error) {
    const detail = error instanceof ProblemError ? `${error.code}: ${error.message}` : messageOf(error)
    checks.push({ name: 'jobs', state: 'fail', detail })
  }
  return checks
}

async function readinessOf(ready: Response, url: string): Promise<Check> {
  if (ready.ok) return { name: 'service', state: 'ok', detail: `takes runs at ${url}` }
  const problem: unknown = await ready.json().catch(() => null)
  const reason: unknown = Reflect.get(Object(problem), 'detail')
  return {
    name: 'service',
    state: 'fail',
    detail: `${url} is not ready (${ready.status}): ${typeof reason === 'string' ? reason : 'it does not say why'}`,
  }
}

/** A service of another version can answer otherwise than the command expects. */
async function versionOf(base: string, { FORERUNNER_API_KEY: apiKey }: Context['environment']): Promise<Check[]> {
  const headers: Record<string, string> = apiKey ? { Authorization: `Bearer ${apiKey}` } : {}
  const signal = AbortSignal.timeout(answerLimitMs)
  const answer = await fetch(new URL('openapi.json', base), { headers, signal }).catch(() => null)
  const document: unknown = await answer?.json().catch(() => null)
  const found: unknown = Reflect.get(Object(Reflect.get(Object(document), 'info')), 'version')
  if (typeof found !== 'string' || found === version) return []
  return [{ name: 'versions', state: 'warn', detail: `the service is forerunner ${found}` }]
}

function clockOf({ headers }: Response): Check {
  // To the second.
  const skewMs = Math.abs(Date.parse(headers.get('Date') ?? '') - Date.now())
  if (!(skewMs > maxSkewMs)) return { name: 'clock', state: 'ok', detail: 'as that of the service' }
  return { name: 'clock', state: 'warn', detail: `${Math.round(skewMs / 1_000)} s from that of the service` }
}

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
