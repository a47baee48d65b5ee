/** The composition root: wires the parts, starts them in order and stops them in reverse. It decides nothing. */
import type { Middleware } from 'koa'
import { isPostgres, type Config } from './config.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import { createExecute } from './dispatch/execute.ts'
import { createProgressTeller } from './dispatch/progress-teller.ts'
import { createPruner } from './dispatch/pruner.ts'
import { recover } from './dispatch/recovery.ts'
import { systemClock } from './domain/clock.ts'
import { allocateHeartbeat, createHeartbeat } from './domain/heartbeat.ts'
import { createCatchUp } from './feed/catch-up.ts'
import { createFeed } from './feed/feed.ts'
import { createRunWatch } from './feed/run-watch.ts'
import { createEventStreams } from './http/event-streams.ts'
import { createLongPolls } from './http/long-poll.ts'
import { createMiddleware } from './http/middleware.ts'
import { createRunDirectly } from './http/run-directly.ts'
import type { ProgressOf, RunView } from './http/run-view.ts'
import { createFirstJobs } from './intake/first-job.ts'
import { createIntake } from './intake/intake.ts'
import { createMainGuard } from './intake/main-guard.ts'
import type { Log } from './log.ts'
import { createLoopDelay } from './metrics/loop-delay.ts'
import { createMetrics } from './metrics/metrics.ts'
import { createPool } from './pool/pool.ts'
import { createPostgresStore } from './store/postgres/engine.ts'
import { createSqliteStore } from './store/sqlite/engine.ts'
import type { Store } from './store/store.ts'
import { loadRegistry } from './tasks/registry.ts'

export interface App {
  readonly middleware: Middleware
  /** What POST /run-tasks does, without HTTP. @throws AppError */
  run(input: unknown): Promise<RunView>
  /** Refuses new runs, lets running jobs end within the grace, hands back the rest, and sends off who still waits. */
  drain(): Promise<void>
  /** Closes everything; after `drain`. */
  close(): Promise<void>
}

export interface AppOptions {
  readonly config: Config
  readonly log: Log
  /** Called when the store is gone for good: the process should end, and the next start recovers. */
  readonly onLost: (error: Error) => void
  /** Called when the store is ours and no job has been started: what fails here costs no job anything. */
  readonly beforeJobs?: (middleware: Middleware) => Promise<void>
}

const sqlitePrefix = 'sqlite:'
/** How long a second process waits for the first to leave the database, and any one for a server to answer. */
const databaseWaitMs = 15_000
/** Its first jobs run on the main thread, and all others in other processes. */
const noThreads = { threads: 0, ioThreads: 0 }
/** How long, beyond the graces, outcomes are tried to be committed on leaving. */
const commitAllowanceMs = 2_000

/**
 * Starts the service; when it resolves, runs are taken.
 * @throws BootError when a task module, the database or the directory of tasks is not as it must be
 */
export async function startApp({ config, log, onLost, beforeJobs }: AppOptions): Promise<App> {
  const clock = systemClock
  const stopping = new AbortController()
  const registry = await loadRegistry(config.tasksDir)
  const heartbeatBuffer = allocateHeartbeat()
  const stall = { heartbeat: heartbeatBuffer, stallMs: config.mainStallMs, logLevel: config.logLevel }
  const onCommit = (verbs: number, tookMs: number) => metrics.committed(verbs, tookMs)
  const store = createStore(config, { stall, onCommit, onLost, clock, log })
  const feed = createFeed()
  store.onChange(feed.publish)
  store.onGap(createCatchUp({ feed, store, log }))
  const pool = createPool({ ...config, ...(config.role === 'http' && noThreads), log })
  const loopDelay = createLoopDelay()
  const guardCounts = () => guard.counts()
  const openStreams = () => streams.size()
  const metrics = createMetrics({ store, pool, loopDelay, guardCounts, openStreams, clock })
  const execute = createExecute({
    store,
    clock,
    log,
    signal: stopping.signal,
    onUncommitted: (runId, error) => intake.tellUncommitted(runId, error),
    onWaiting: () => dispatcher.wake(),
    onEnded: metrics.attemptEnded,
  })
  const dispatcher = createDispatcher({ store, pool, registry, execute, clock, log })
  const guard = createMainGuard({ budgetMs: config.mainBudgetMs, clock, log })
  const heartbeat = createHeartbeat(heartbeatBuffer)
  const firstJobs = createFirstJobs({ ...config, registry, guard, heartbeat, log })
  const { wake } = dispatcher
  store.onWork(wake)
  const { subscribe } = feed
  const intake = createIntake({ ...config, store, registry, guard, clock, firstJobs, wake, execute, subscribe })
  const pruner = createPruner({ ...config, store, clock, log })
  store.onChange(({ runId, voided }) => {
    for (const jobIndex of voided) {
      dispatcher.cancel(runId, jobIndex)
      firstJobs.cancel(runId, jobIndex)
    }
  })
  const progressOf: ProgressOf = (...job) =>
    firstJobs.progress(...job) ?? dispatcher.progress(...job) ?? store.heardProgress(...job)
  const allProgress = () => [...firstJobs.allProgress(), ...dispatcher.allProgress()]
  const progressTeller = createProgressTeller({ store, allProgress })
  const runWatch = createRunWatch(feed, store)
  const polls = createLongPolls(runWatch)
  const showsStacks = config.logLevel === 'debug'
  const streams = createEventStreams({ ...config, runWatch, showsStacks, progressOf })
  const live = { progressOf, polls, streams }
  const middleware = createMiddleware({
    config,
    store,
    registry,
    intake,
    pool,
    ...live,
    loopDelay,
    metrics,
    clock,
    log,
  })

  try {
    await Promise.all([store.open(), pool.start()])
    await beforeJobs?.(middleware)
    await recover(store, dispatcher, clock, log)
  } catch (error) {
    loopDelay.stop()
    await Promise.allSettled([pool.stop(), store.close()])
    throw error
  }
  firstJobs.start()
  pruner.start()
  if (isPostgres(config.databaseUrl)) progressTeller.start()
  intake.open()

  return {
    middleware,
    run: createRunDirectly({ intake, config }),
    async drain() {
      polls.dismiss()
      await intake.close()
      const grace = config.shutdownGraceMs
      // A store that cannot commit must not hold up the leaving: what is not on disk then runs again.
      const giveUp = setTimeout(() => stopping.abort(), grace + config.cancelGraceMs + commitAllowanceMs)
      await Promise.all([pruner.stop(), firstJobs.stop(grace), dispatcher.stop(grace)])
      clearTimeout(giveUp)
      await intake.dismiss()
      // Last: who watches sees how the jobs have ended.
      await streams.close()
    },
    async close() {
      stopping.abort()
      progressTeller.stop()
      loopDelay.stop()
      await pool.stop()
      await store.close()
    },
  }
}

type StoreOptions = Omit<Parameters<typeof createPostgresStore>[0], 'url' | 'schema' | 'connectWaitMs'>

function createStore({ databaseUrl, databaseSchema }: Config, options: StoreOptions): Store {
  if (!isPostgres(databaseUrl)) {
    return createSqliteStore({ ...options, path: databaseUrl.slice(sqlitePrefix.length), lockWaitMs: databaseWaitMs })
  }
  return createPostgresStore({ ...options, url: databaseUrl, schema: databaseSchema, connectWaitMs: databaseWaitMs })
}
