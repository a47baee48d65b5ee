/**
 * The composition root: starts the threads of the store and the pool, and has everything else loaded meanwhile, which
 * takes as long (measured: two fifths of the whole start). Stops them last.
 */
import { resolve } from 'node:path'
import type { Middleware } from 'koa'
import { isPostgres, type Config } from './config.ts'
import { createProcessClock, type ProcessClock } from './runtime/clock.ts'
import { allocateHeartbeat, watchLoading, type StallOptions } from './runtime/stall-watch.ts'
import type { RunChange } from './domain/run.ts'
import { guardProcess } from './execution/main-thread/process-guard.ts'
import type { Log } from './log.ts'
import { createPool, type Pool, type PoolOptions } from './execution/pool/pool.ts'
import type { Service } from './service.ts'
import type { Store } from './store/store.ts'
import { loadRegistry, type Registry, type TaskModules } from './tasks/registry.ts'
import { loadTelemetry, type Telemetry } from './telemetry/telemetry.ts'

export interface App extends Pick<Service, 'middleware' | 'mount' | 'connect' | 'drain'> {
  /**
   * Has a thread load each task that it may have to run, which this one has loaded already. Not awaited by the start,
   * which it would make longer by a fifth.
   * @throws BootError that names the file when a thread cannot load it
   */
  loadOnThreads(): Promise<void>
  /** The name of the task that has this definition; undefined for another module's. */
  nameOf(definition: object): string | undefined
  /** Closes everything; after `drain`. */
  close(): Promise<void>
}

export interface AppOptions {
  readonly config: Config
  /** In place of the directory that the configuration names. */
  readonly tasks?: TaskModules
  /** In place of both: tasks that are loaded already. */
  readonly registry?: Registry
  /** Makes what runs attempts; default: the pool of worker threads. */
  readonly makePool?: (options: PoolOptions) => Pool
  readonly log: Log
  /** Schedules by name, as a caller would put them. */
  readonly schedules?: Readonly<Record<string, unknown>>
  readonly clock?: ProcessClock
  /** Called when the store is gone for good: the process should end, and the next start recovers. */
  readonly onLost: (error: Error) => void
  /** Called after each commit, once for each run that it has changed. */
  readonly onChange?: (change: RunChange) => void
  /** Called while the threads start, for what takes its time to load. */
  readonly prepare?: () => Promise<unknown>
  /** Command-line flags of Node for the pool's threads; default: those of the process that decide how modules load. */
  readonly threadFlags?: readonly string[]
  /** Called when the store is ours and no job has been started: what fails here costs no job anything. */
  readonly beforeJobs?: (middleware: Middleware) => Promise<void>
}

interface StoreOptions {
  /** That run in the threads of this process. */
  readonly tasks: readonly string[]
  readonly stall: StallOptions
  readonly onCommit: Service['committed']
  readonly onLost: (error: Error) => void
  readonly clock: ProcessClock
  readonly log: Log
}

const sqlitePrefix = 'sqlite:'
/** How long a second process waits for the first to leave the database, and any one for a server to answer. */
const databaseWaitMs = 15_000
/** Its first jobs run on the main thread, and all others in other processes. */
const noThreads = { threads: 0, ioThreads: 0 }

/**
 * Starts the service; when it resolves, runs are taken.
 * @throws BootError when a task module, the database or the directory of tasks is not as it must be
 */
export async function startApp(options: AppOptions): Promise<App> {
  const {
    config,
    tasks: modules,
    makePool = createPool,
    schedules: declared = {},
    log,
    clock = createProcessClock(),
    onLost,
    onChange,
    prepare,
    threadFlags,
    beforeJobs,
  } = options
  guardProcess()
  const heartbeatBuffer = allocateHeartbeat()
  const stall = { heartbeat: heartbeatBuffer, stallMs: config.mainStallMs, logLevel: config.logLevel }
  const registry = options.registry ?? (await loadTasks(modules ?? config.tasksDir, stall))
  const isDirectory = modules === undefined && options.registry === undefined
  logTasks(registry, isDirectory ? resolve(config.tasksDir) : 'the modules given', log)
  let service: Service | undefined
  let telemetry: Telemetry | null = null
  const onCommit: Service['committed'] = (...group) => service?.committed(...group)
  // In the role http there are no threads that could run a job.
  const tasks = config.role === 'http' ? [] : registry.all().map(({ name }) => name)
  const store = await createStore(config, { tasks, stall, onCommit, onLost, clock, log })
  if (onChange !== undefined) store.onChange(onChange)
  const flags = threadFlags && { flags: threadFlags }
  const pool = makePool({ ...config, ...(config.role === 'http' && noThreads), ...flags, log })

  try {
    const opening = Promise.all([store.open(), pool.start()])
    // Heard below, when the rest is loaded.
    opening.catch(() => {})
    const { createService } = await import('./service.ts')
    await prepare?.()
    telemetry = await loadTelemetry()
    service = createService({ config, registry, store, pool, heartbeatBuffer, telemetry, declared, clock, log })
    await opening
    await beforeJobs?.(service.middleware)
    await service.start()
  } catch (error) {
    service?.stop()
    await Promise.allSettled([pool.stop(), store.close()])
    throw error
  }

  const { middleware, mount, connect, drain, stop } = service
  return {
    middleware,
    mount,
    connect,
    drain,
    nameOf: registry.nameOf,
    async loadOnThreads() {
      await pool.load(registry.all())
    },
    async close() {
      stop()
      try {
        await pool.stop()
      } finally {
        await store.close()
      }
      await telemetry?.flush()
    },
  }
}

async function loadTasks(source: string | TaskModules, stall: StallOptions): Promise<Registry> {
  const watch = watchLoading(stall)
  try {
    return await loadRegistry(source, watch.begin)
  } finally {
    watch.stop()
  }
}

function logTasks(registry: Registry, source: string, log: Log): void {
  const tasks = registry.all().map(({ name }) => name)
  const fields = { tasks, skipped: registry.skipped }
  if (tasks.length > 0) log.info(fields, `loaded ${tasks.length} tasks of ${source}`)
  else log.warn(fields, `there are no tasks in ${source}: a task is a module directly in it`)
}

async function createStore(
  { databaseUrl, databaseSchema, searchIndex }: Config,
  options: StoreOptions,
): Promise<Store> {
  if (!isPostgres(databaseUrl)) {
    const { createSqliteStore } = await import('./store/sqlite/engine.ts')
    const path = databaseUrl.slice(sqlitePrefix.length)
    return createSqliteStore({ ...options, path, lockWaitMs: databaseWaitMs, hasSearch: searchIndex })
  }
  const { createPostgresStore } = await import('./store/postgres/engine.ts')
  const connection = { url: databaseUrl, schema: databaseSchema, connectWaitMs: databaseWaitMs }
  return createPostgresStore({ ...options, ...connection, hasSearch: searchIndex })
}
