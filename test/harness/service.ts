/** A whole service in this process, on its own port: `await using service = await startService()`. */
import { fileURLToPath } from 'node:url'
import type { App } from '../../src/app.ts'
import type { ProcessClock } from '../../src/runtime/clock.ts'
import { configOf, type Config } from '../../src/config.ts'
import type { ServerLimits } from '../../src/http/server.ts'
import { createLog } from '../../src/log.ts'
import { sharedContract } from '../http/contract.ts'
import { listRuns } from './run.ts'
import { shareByOptions } from './share.ts'
import { until } from './until.ts'
import { withWarmThreads } from './warm-threads.ts'

// Compiled, as it is published: its threads start several times faster than from TypeScript.
const built = (path: string): string => new URL(`../../dist/src/${path}`, import.meta.url).href
const { startApp } = (await import(built('app.js'))) as typeof import('../../src/app.ts')
const { createHttpServer } = (await import(built('http/server.js'))) as typeof import('../../src/http/server.ts')
const { loadRegistry } = (await import(built('tasks/registry.js'))) as typeof import('../../src/tasks/registry.ts')

export const fixtureTasks = fileURLToPath(new URL('../fixtures/tasks/', import.meta.url))

export interface Service extends AsyncDisposable {
  readonly url: string
  readonly config: Config
  /** Like the global `fetch`, with a path; like `post` and `get` it rejects if the response breaks the contract. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** POSTs JSON; a string is sent unchanged. */
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>
  get(path: string, headers?: Record<string, string>): Promise<Response>
}

/** A service that its test may end. */
export interface OwnService extends Service {
  readonly app: App
  stop(): Promise<void>
}

/** Loaded once in this process. */
let fixtures: ReturnType<typeof loadRegistry> | undefined

interface Database extends AsyncDisposable {
  readonly config: Pick<Config, 'databaseUrl' | 'databaseSchema'>
}

/** The database of a service: SQLite in memory or, with TEST_ENGINE=postgres, its own PostgreSQL schema. */
async function makeDatabase(): Promise<Database> {
  if (process.env['TEST_ENGINE'] !== 'postgres') {
    const config = { databaseUrl: 'sqlite::memory:', databaseSchema: 'none' }
    return { config, [Symbol.asyncDispose]: () => Promise.resolve() }
  }
  const { makeSchema } = await import('./postgres.ts')
  const schema = await makeSchema()
  const config = { databaseUrl: schema.url, databaseSchema: schema.name }
  return { config, [Symbol.asyncDispose]: () => schema[Symbol.asyncDispose]() }
}

/**
 * In memory and with the fixture tasks by default.
 * @param whileStarting called when the service is reachable and not open yet
 */
export async function startService(
  options: Partial<Config> = {},
  limits: Partial<ServerLimits> = {},
  whileStarting: (url: string) => Promise<void> = async () => {},
  clock?: ProcessClock,
): Promise<OwnService> {
  await using stack = new AsyncDisposableStack()
  const database = stack.use(await makeDatabase())
  const config = configOf({
    ...database.config,
    tasksDir: fixtureTasks,
    port: 0,
    logLevel: 'silent',
    cancelGraceMs: 100,
    shutdownGraceMs: 0,
    // On a busy machine a first job that only waits can exceed the default, and would be moved to the pool.
    mainBudgetMs: 10_000,
    ...options,
  })
  // At any level, because only the responses matter here.
  const log = createLog('silent')
  const server = createHttpServer(log, limits)
  let url = ''
  const app = await withWarmThreads(async () =>
    startApp({
      config,
      ...(config.tasksDir === fixtureTasks && { registry: await (fixtures ??= loadRegistry(fixtureTasks)) }),
      log,
      ...(clock && { clock }),
      // Compiled code needs no loader; the tests' loader would only slow the threads' start down.
      threadFlags: [],
      onLost(error) {
        throw error
      },
      async beforeJobs(middleware) {
        url = await server.listen(middleware, config.host, config.port)
        await whileStarting(url)
      },
    }),
  )
  let stopping: Promise<void> | undefined
  const owned = stack.move()

  // The test may have drained or closed the app; both can be repeated.
  async function stop(): Promise<void> {
    await app.drain()
    await server.close()
    await app.close()
    await owned.disposeAsync()
  }

  async function ask(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(`${url}${path}`, init)
    await sharedContract().check(init.method ?? 'GET', response.url, response)
    return response
  }

  return {
    url,
    app,
    config,
    fetch: ask,
    post: (path, body, headers) =>
      ask(path, {
        method: 'POST',
        headers: { ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      }),
    get: (path, headers) => ask(path, headers === undefined ? {} : { headers }),
    stop: () => (stopping ??= stop()),
    [Symbol.asyncDispose]: () => (stopping ??= stop()),
  }
}

const lend = shareByOptions(startService, removeRuns, (service) => service.stop())

/** Shared by all tests that need it. It has no run and no request in flight; counters of the process continue. */
export async function shareService(options: Partial<Config> = {}): Promise<Service> {
  const { value, ...scoped } = await lend(options)
  const { app: _app, stop: _stop, ...rest } = value
  return { ...rest, ...scoped }
}

/** Cancels running jobs. A caller may be waiting for its answer, and then gets it. */
async function removeRuns(service: Service): Promise<void> {
  const [key] = service.config.apiKeys
  const headers = key === undefined ? {} : { Authorization: `Bearer ${key}` }
  await until('every run is removed', async () => {
    const runs = await listRuns(service, '?pageSize=500', headers)
    if (runs.length === 0) return true
    await service.fetch('/runs/cancel?state=running', { method: 'POST', headers })
    await Promise.all(runs.map(({ id }) => service.fetch(`/runs/${id}`, { method: 'DELETE', headers })))
    return false
  })
}
