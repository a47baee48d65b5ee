/** Wires everything that works with the store and the pool, and stops it in reverse. It decides nothing. */
import type { Middleware } from 'koa'
import type { Config } from './config.ts'
import { createClockWatch } from './dispatch/clock-watch.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import { createExecute, type Execute } from './dispatch/execute.ts'
import { createProgressPublisher } from './dispatch/progress-publisher.ts'
import { createPruner } from './dispatch/pruner.ts'
import { recover } from './dispatch/recovery.ts'
import { createUnknownTaskWatch } from './dispatch/unknown-task-watch.ts'
import { monotonicClock, type ProcessClock } from './domain/clock.ts'
import { createHeartbeat } from './domain/heartbeat.ts'
import { createCatchUp } from './feed/catch-up.ts'
import { createFeed } from './feed/feed.ts'
import { createHttp, type Http } from './http/http.ts'
import type { ProgressOf } from './http/run-view.ts'
import { createFirstJobs } from './execution/main-thread/first-job.ts'
import { createIntake } from './intake/intake.ts'
import { createMainThreadGuard } from './execution/main-thread/main-thread-guard.ts'
import { createLimits } from './limits/limits.ts'
import type { Log } from './log.ts'
import { createLoopDelay } from './metrics/loop-delay.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { Pool } from './execution/pool/pool.ts'
import type { Store } from './store/store.ts'
import type { Registry } from './tasks/registry.ts'

export interface Service extends Pick<Http, 'mount' | 'connect'> {
  /** All routes, for a server of its own. */
  readonly middleware: Middleware
  /** The store has committed a group: how many verbs it held, and how long it took, in milliseconds. */
  committed(verbs: number, tookMs: number): void
  /** Takes back what a dead process held, and begins to claim and to take runs; when store and pool are there. */
  start(): Promise<void>
  /**
   * Refuses new runs, lets running jobs end within the grace, hands back the rest, and sends off who still waits. False
   * when the store did not take all that there was to settle or to hand back.
   */
  drain(): Promise<boolean>
  /** Ends what is left, also of a service that was not started; the store and the pool are their maker's to close. */
  stop(): void
}

export interface ServiceOptions {
  readonly config: Config
  readonly registry: Registry
  readonly store: Store
  readonly pool: Pool
  /** Where the main thread shows that it moves. */
  readonly heartbeatBuffer: SharedArrayBuffer
  readonly clock: ProcessClock
  readonly log: Log
}

/** How long, beyond the graces, outcomes are tried to be committed on leaving. */
const commitAllowanceMs = 2_000

export function createService({ config, registry, store, pool, heartbeatBuffer, clock, log }: ServiceOptions): Service {
  const stopping = new AbortController()
  let isLeaving = false
  const feed = createFeed()
  store.onChange(feed.publish)
  store.notifier?.onGap(createCatchUp({ feed, store, log }))
  const loopDelay = createLoopDelay()
  const guardCounts = () => guard.counts()
  const openStreams = () => http.openStreams()
  const limits = createLimits({ replaceThreads: pool.replaceAll, log })
  const limitCounts = limits.counts
  const metrics = createMetrics({ store, pool, loopDelay, guardCounts, openStreams, limitCounts, clock })
  const executeJob = createExecute({
    store,
    clock,
    log,
    signal: stopping.signal,
    isLeaving: () => isLeaving,
    onUncommitted: (runId, error) => intake.tellUncommitted(runId, error),
    onWaiting: () => dispatcher.wake(),
    onEnded(attempt) {
      metrics.attemptEnded(attempt)
      if (attempt.outcome !== 'released' && !attempt.outcome.ok && attempt.outcome.error.code === 'timeout') {
        limits.noteTimeout(attempt.job.task)
      }
    },
  })
  const execute: Execute = (job, ...rest) => {
    metrics.attemptStarted(job)
    return executeJob(job, ...rest)
  }
  const dispatcher = createDispatcher({ store, pool, registry, execute, clock, log })
  const guard = createMainThreadGuard({
    budgetMs: config.mainBudgetMs,
    hasRoom: limits.hasRoom,
    clock: monotonicClock,
    log,
  })
  const heartbeat = createHeartbeat(heartbeatBuffer)
  const firstJobs = createFirstJobs({ ...config, registry, guard, heartbeat, log })
  const { wake } = dispatcher
  store.notifier?.onWork(wake)
  const { subscribe } = feed
  const takesFirstJobs = config.firstJobs === 'main'
  const intake = createIntake({
    ...config,
    store,
    registry,
    guard,
    takesFirstJobs,
    clock,
    firstJobs,
    wake,
    execute,
    subscribe,
  })
  const unknownTaskWatch = createUnknownTaskWatch({ store, clock, log })
  const clockWatch = createClockWatch({ clock, store, log, onShifted: wake })
  const pruner = createPruner({ ...config, store, clock, log })
  store.onChange(({ voided }) => {
    for (const claim of voided) {
      dispatcher.cancel(claim)
      firstJobs.cancel(claim)
    }
  })
  const progressOf: ProgressOf = (...job) =>
    firstJobs.progress(...job) ?? dispatcher.progress(...job) ?? store.notifier?.remoteProgress(...job) ?? null
  const allProgress = () => [...firstJobs.allProgress(), ...dispatcher.allProgress()]
  const progressPublisher = store.notifier && createProgressPublisher({ notifier: store.notifier, allProgress })
  const trouble = () => pool.illness() ?? limits.trouble()
  const served = { config, store, registry, intake, pool, trouble, progressOf, loopDelay, metrics, clock, log }
  const http = createHttp({ ...served, feed })
  const { middleware } = http.mount({ prefix: '', isHosted: false })

  /** A supervisor may kill the process before its graces are over: that is to cost its jobs no start. */
  async function excuseJobs(): Promise<void> {
    try {
      const jobs = await store.leave(clock.now())
      if (jobs > 0) log.info({ jobs }, 'from now on the running jobs lose no start when the process is killed')
    } catch (error) {
      log.warn({ err: error }, 'the running jobs lose a start when the process is killed before it has stopped')
    }
  }

  return {
    middleware,
    committed: metrics.committed,
    mount: http.mount,
    connect: http.connect,
    async start() {
      await recover(store, dispatcher, clock, log)
      firstJobs.start()
      limits.start()
      pruner.start()
      clockWatch.start()
      unknownTaskWatch.start()
      progressPublisher?.start()
      intake.open()
    },
    async drain() {
      http.dismissPolls()
      isLeaving = true
      await intake.close()
      const grace = config.shutdownGraceMs
      void dispatcher.close().then(excuseJobs)
      // A store that cannot commit must not hold up the leaving: what is not on disk then runs again.
      const giveUp = setTimeout(() => stopping.abort(), grace + config.cancelGraceMs + commitAllowanceMs)
      await Promise.all([pruner.stop(), firstJobs.stop(grace), dispatcher.stop(grace)])
      clearTimeout(giveUp)
      await intake.dismiss()
      // Last: who watches sees how the jobs have ended.
      await http.closeStreams()
      return !stopping.signal.aborted
    },
    stop() {
      stopping.abort()
      http.stop()
      progressPublisher?.stop()
      unknownTaskWatch.stop()
      clockWatch.stop()
      loopDelay.stop()
      metrics.stop()
      limits.stop()
    },
  }
}
