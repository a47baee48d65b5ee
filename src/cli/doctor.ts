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

/** One finding; `fail` makes the exit code 1. */
interface Check {
  readonly name: string
  readonly state: 'ok' | 'warn' | 'fail'
  readonly detail: string
}

const styles = { ok: 'green', warn: 'yellow', fail: 'red' } as const
/** A larger difference between the clocks of this machine and the service makes its instants confusing. */
const maxSkewMs = 5_000
const limitMs = 5_000
const mib = 1024 * 1024
const littleBytes = 512 * mib
const tooLittleBytes = 16 * mib
const sqliteMagic = 'SQLite format 3\0'
const ownVersions = `forerunner ${version}, Node ${process.versions.node}, SQLite ${process.versions['sqlite']}`

export const addDoctor: AddCommand = (program, act) => {
  program
    .command('doctor')
    .description('check what a service needs to work; exit code 1 if a check fails')
    .action(
      act(async (context: Context) => {
        const checks: readonly Check[] = [
          { name: 'versions', state: 'ok', detail: ownVersions },
          ...(await checkConfiguration(context)),
          ...(await checkService(context)),
        ]
        const isWell = checks.every(({ state }) => state !== 'fail')
        if (context.isJson) printJson({ ok: isWell, checks })
        else for (const check of checks) print(lineOf(check))
        return isWell ? exitCodes.done : exitCodes.failed
      }),
    )
}

function lineOf({ name, state, detail }: Check): string {
  return `${styled(styles[state], state.padEnd(4))}  ${name.padEnd(13)}  ${clean(detail)}`
}

/** A check that throws has failed. */
async function runCheck(name: string, run: () => Promise<Omit<Check, 'name'>>): Promise<Check> {
  try {
    return { name, ...(await run()) }
  } catch (error) {
    const code = error instanceof ProblemError ? `${error.code}: ` : ''
    return { name, state: 'fail', detail: `${code}${messageOf(error)}` }
  }
}

async function checkConfiguration({ environment }: Context): Promise<Check[]> {
  const name = 'configuration'
  let config: Config
  try {
    config = readConfig(environment)
  } catch (error) {
    return [{ name, state: 'fail', detail: messageOf(error) }]
  }
  const doubts = doubtsAbout(config).map((detail): Check => ({ name, state: 'warn', detail }))
  const settings: Check[] = doubts.length > 0 ? doubts : [{ name, state: 'ok', detail: 'every variable can be used' }]
  return [...settings, await checkTasks(config), ...(await checkDatabase(config.databaseUrl))]
}

/** Lists the files only: loading a task's module would run its code. */
function checkTasks({ tasksDir }: Config): Promise<Check> {
  return runCheck('tasks', async () => {
    const { tasks } = await listTaskFiles(tasksDir)
    if (tasks.length === 0) return { state: 'warn', detail: `there are no tasks in ${tasksDir}` }
    return { state: 'ok', detail: `${tasks.length} in ${tasksDir}: ${tasks.map(({ name }) => name).join(', ')}` }
  })
}

/** Does not open the database as a service would. */
async function checkDatabase(databaseUrl: string): Promise<Check[]> {
  if (isPostgres(databaseUrl)) return [await checkPostgres(databaseUrl)]
  const path = databaseUrl.slice('sqlite:'.length)
  if (path === ':memory:') return [{ name: 'database', state: 'warn', detail: 'in memory: nothing of it is kept' }]
  return [await checkFile(resolve(path)), await checkDisk(resolve(path))]
}

function checkPostgres(url: string): Promise<Check> {
  return runCheck('database', async () => {
    try {
      const { default: pg } = await import('pg')
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: limitMs })
      client.on('error', () => {})
      await client.connect()
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version').finally(() => client.end())
      return { state: 'ok', detail: `${shownDatabase(url)}, PostgreSQL ${rows[0]?.server_version}` }
    } catch (error) {
      throw new Error(`${shownDatabase(url)}: ${messageOf(error)}`, { cause: error })
    }
  })
}

function checkFile(path: string): Promise<Check> {
  return runCheck('database', async () => {
    const stats = await stat(path).catch(() => null)
    if (stats === null) {
      await access(await nearestDirectory(path), constants.W_OK)
      return { state: 'ok', detail: `${path} will be made at the first start` }
    }
    await access(path, constants.R_OK | constants.W_OK)
    await access(dirname(path), constants.W_OK)
    if (stats.size > 0 && (await beginningOf(path)) !== sqliteMagic) throw new Error(`${path} is no SQLite database`)
    const { ownerOf } = await import('../database-file.ts')
    const owner = (await ownerOf(path)) ?? 'no process'
    return { state: 'ok', detail: `${path}, ${Math.ceil(stats.size / mib)} MiB; ${owner} has it open` }
  })
}

function checkDisk(path: string): Promise<Check> {
  return runCheck('disk', async () => {
    const { bavail, bsize } = await statfs(await nearestDirectory(path))
    const free = bavail * bsize
    const state = free < tooLittleBytes ? 'fail' : free < littleBytes ? 'warn' : 'ok'
    return { state, detail: `${Math.floor(free / mib)} MiB are free` }
  })
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
  const { buffer } = await file.read(Buffer.alloc(sqliteMagic.length), 0, sqliteMagic.length, 0)
  return buffer.toString('latin1')
}

async function checkService({ url, client, environment }: Context): Promise<Check[]> {
  const base = url.endsWith('/') ? url : `${url}/`
  let ready: Response
  try {
    ready = await fetch(new URL('readyz', base), { signal: AbortSignal.timeout(limitMs) })
  } catch {
    return [{ name: 'service', state: 'warn', detail: `none answers at ${url}` }]
  }
  return [
    await readinessOf(ready, url),
    clockOf(ready),
    ...(await checkVersion(base, environment)),
    await checkJobs(client),
  ]
}

async function readinessOf(ready: Response, url: string): Promise<Check> {
  const name = 'service'
  if (ready.ok) return { name, state: 'ok', detail: `takes runs at ${url}` }
  const problem: unknown = await ready.json().catch(() => null)
  const detail: unknown = Reflect.get(Object(problem), 'detail')
  const reason = typeof detail === 'string' ? detail : 'it does not say why'
  return { name, state: 'fail', detail: `${url} is not ready (${ready.status}): ${reason}` }
}

function clockOf({ headers }: Response): Check {
  const name = 'clock'
  // The header counts whole seconds.
  const skewMs = Math.abs(Date.parse(headers.get('Date') ?? '') - Date.now())
  if (Number.isNaN(skewMs) || skewMs <= maxSkewMs) return { name, state: 'ok', detail: 'as that of the service' }
  return { name, state: 'warn', detail: `${Math.round(skewMs / 1_000)} s from that of the service` }
}

/** Warns of a service of another version, which may respond in another way. An unknown version makes no finding. */
async function checkVersion(base: string, { FORERUNNER_API_KEY: apiKey }: Context['environment']): Promise<Check[]> {
  const headers: Record<string, string> = apiKey ? { Authorization: `Bearer ${apiKey}` } : {}
  const signal = AbortSignal.timeout(limitMs)
  const response = await fetch(new URL('openapi.json', base), { headers, signal }).catch(() => null)
  const document: unknown = await response?.json().catch(() => null)
  const found: unknown = Reflect.get(Object(Reflect.get(Object(document), 'info')), 'version')
  if (typeof found !== 'string' || found === version) return []
  return [{ name: 'versions', state: 'warn', detail: `the service is forerunner ${found}` }]
}

function checkJobs(client: Context['client']): Promise<Check> {
  return runCheck('jobs', async () => {
    const { conservation, unknownTasks } = await client.stats({ signal: AbortSignal.timeout(limitMs) })
    const tasks = await client.listTasks({ signal: AbortSignal.timeout(limitMs) })
    const unknown = Object.keys(unknownTasks)
    const paused = tasks.flatMap((task) => (task.paused ? [task.name] : []))
    if (conservation.lost !== 0) return { state: 'fail', detail: `${conservation.lost} are lost` }
    if (unknown.length > 0) return { state: 'warn', detail: `no process runs ${unknown.join(', ')}` }
    if (paused.length > 0) return { state: 'warn', detail: `paused: ${paused.join(', ')}` }
    return { state: 'ok', detail: `none lost of ${conservation.accepted}` }
  })
}
