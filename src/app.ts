/**
 * The composition root. Starts the threads of the store and the pool, loads everything else meanwhile (two fifths of the
 * start), and stops the threads last.
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
   * Has threads load the tasks, which the main thread has loaded already. `startApp` does not wait for it, because that
   * would make the start longer by a fifth.
   * @throws BootError that names the file when a thread cannot load it
   */
  loadOnThreads(): Promise<void>
  /** The name of the task with this definition; undefined: no task has it. */
  nameOf(definition: object): string | undefined
  /** Closes everything. Call it after `drain`. */
  close(): Promise<void>
}

export interface AppOptions {
  readonly config: Config
  /** Replaces the directory that the configuration names. */
  readonly tasks?: TaskModules
  /** Loaded tasks, which replace both. */
  readonly registry?: Registry
  /** Makes the pool that runs attempts; default: worker threads. */
  readonly makePool?: (options: PoolOptions) => Pool
  readonly log: Log
  /** Schedules by name, in the form of a request. */
  readonly schedules?: Readonly<Record<string, unknown>>
  readonly clock?: ProcessClock
  /** Called when the store has failed for good: the process should exit, and the next start recovers. */
  readonly onLost: (error: Error) => void
  /** Called after each commit, once for each changed run. */
  readonly onChange?: (change: RunChange) => void
  /** Called while the threads start, to load other modules in that time. */
  readonly prepare?: () => Promise<unknown>
  /** Command-line flags of Node for the pool's threads; default: the flags of this process that affect module loading. */
  readonly threadFlags?: readonly string[]
  /** Called when this process owns the store and no job has started, so that a failure here costs no job a start. */
  readonly beforeJobs?: (middleware: Middleware) => Promise<void>
}

interface StoreOptions {
  /** Names of the tasks that this process runs. */
  readonly tasks: readonly string[]
  readonly stall: StallOptions
  readonly onCommit: Service['committed']
  readonly onLost: (error: Error) => void
  readonly clock: ProcessClock
  readonly log: Log
}

const sqlitePrefix = 'sqlite:'
/** How long a process waits for another one to leave its SQLite file, or for a PostgreSQL server to respond. */
const databaseWaitMs = 15_000
/** With `role` http, first jobs run on the main thread and all others in other processes. */
const noThreads = { threads: 0, ioThreads: 0 }

/**
 * Starts the service. Once it resolves, the service accepts runs.
 * @throws BootError for a problem with a task module, the directory of tasks or the database
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
  const tasks = config.role === 'http' ? [] : registry.all().map(({ name }) => name)
  const store = await createStore(config, { tasks, stall, onCommit, onLost, clock, log })
  if (onChange !== undefined) store.onChange(onChange)
  const flags = threadFlags && { flags: threadFlags }
  const pool = makePool({ ...config, ...(config.role === 'http' && noThreads), ...flags, log })

  try {
    const opening = Promise.all([store.open(), pool.start()])
    // A rejection is handled below, after the rest is loaded.
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
    loadOnThreads: () => pool.load(registry.all()),
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
