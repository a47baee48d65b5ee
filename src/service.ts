/** Makes all parts that work with the store and the pool, connects them, and starts, drains and stops them. No decisions. */
import type { Middleware } from 'koa'
import type { Config } from './config.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import { createLineKeeper } from './dispatch/line-keeper.ts'
import { createStepKeeper } from './dispatch/execute.ts'
import {
  createClockWatch,
  createExpiry,
  createLinePruner,
  createProgressPublisher,
  createPruner,
  createUnknownTaskWatch,
} from './dispatch/periodic.ts'
import { monotonicClock, type ProcessClock } from './runtime/clock.ts'
import type { AttemptOutcome } from './domain/claim.ts'
import { createLoopDelay } from './runtime/event-loop.ts'
import { createHeartbeat } from './runtime/stall-watch.ts'
import { createCatchUp, createFeed } from './feed/feed.ts'
import { createHttp, type Http } from './http/router.ts'
import type { ProgressOf } from './http/views/job.ts'
import { withoutSecrets } from './http/permissions.ts'
import { eventText } from './http/views/run.ts'
import { createMainThreadExecutor } from './execution/main-thread/main-thread-executor.ts'
import { createAnswerWaiters } from './intake/answer-waiters.ts'
import { createInboxReader } from './intake/inbox.ts'
import { createIntake, type Intake } from './intake/intake.ts'
import { createMainThreadGuard } from './execution/main-thread/main-thread-guard.ts'
import { createSystemLimits } from './limits/system-limits.ts'
import type { Log } from './log.ts'
import { createMinuteRecorder } from './metrics/minutes.ts'
import { createMetrics } from './metrics/metrics.ts'
import type { Pool } from './execution/pool/pool.ts'
import { parseRunText, parseSchedule, partsOfRequest } from './http/validation.ts'
import { declaredSchedules } from './schedules/definition.ts'
import { createSchedules } from './schedules/schedules.ts'
import type { Store } from './store/store.ts'
import type { Registry } from './tasks/registry.ts'
import type { Telemetry } from './telemetry/telemetry.ts'
import { createPost } from './webhooks/post.ts'
import { createMissingSender, createWebhookSender, type WebhookSender } from './webhooks/sender.ts'

export interface Service extends Pick<Http, 'mount' | 'connect'> {
  /** All routes, for a server of their own. */
  readonly middleware: Middleware
  /** Notes a committed group of the store: its number of verbs, and how long the commit took. */
  committed(verbs: number, tookMs: number): void
  /** Takes back the jobs of a dead process, and starts to claim jobs and to accept runs. Store and pool must be open. */
  start(): Promise<void>
  /**
   * Refuses new runs, lets running jobs end within the grace, hands back the others, and ends the waits of callers.
   * Resolves to false when the store could not commit all outcomes and releases.
   */
  drain(): Promise<boolean>
  /** Stops the remaining parts, also of a service that was not started. The caller closes the store and the pool. */
  stop(): void
}

export interface ServiceOptions {
  readonly config: Config
  readonly registry: Registry
  readonly store: Store
  readonly pool: Pool
  /** Memory in which the main thread shows that it is not blocked. */
  readonly heartbeatBuffer: SharedArrayBuffer
  /** null: no tracing. */
  readonly telemetry: Telemetry | null
  /** Schedules that the options of the library declare, by name. */
  readonly declared: Readonly<Record<string, unknown>>
  readonly clock: ProcessClock
  readonly log: Log
}

/** How long tries of webhooks may go on when the process leaves. An aborted try is repeated later. */
const webhookGraceMs = 2_000

export function createService(options: ServiceOptions): Service {
  const { config, registry, store, pool, heartbeatBuffer, telemetry, declared, clock, log } = options
  const { inbox, notifier } = store
  const feed = createFeed()
  store.onChange(feed.publish)
  notifier?.onGap(createCatchUp({ feed, store, log }))
  const systemLimits = createSystemLimits({ replaceThreads: pool.replaceAll, log })
  const guard = createMainThreadGuard({
    budgetMs: config.mainBudgetMs,
    hasRoom: systemLimits.hasRoom,
    clock: monotonicClock,
    log,
  })
  const loopDelay = createLoopDelay()
  const metrics = createMetrics({ store, pool, guard, limits: systemLimits, loopDelay, clock })

  const heartbeat = createHeartbeat(heartbeatBuffer)
  const keeper = createStepKeeper({ store, clock, log })
  const minutes = createMinuteRecorder({ ...config, store, clock, log })
  const lines = createLineKeeper({ ...config, store, clock, log })
  pool.onLine(lines.note)
  const mainThread = createMainThreadExecutor({
    ...config,
    registry,
    guard,
    heartbeat,
    keeper,
    onLine: lines.note,
    log,
  })
  const answerWaiters = createAnswerWaiters(feed)
  const dispatcher = createDispatcher({
    ...config,
    store,
    pool,
    mainThread,
    keeper,
    registry,
    clock,
    log,
    onStarted(job) {
      metrics.attemptStarted(job)
      minutes.attemptStarted(job)
    },
    onRecovered: metrics.recovered,
    traceExecute: telemetry && telemetry.traceExecute,
    onUncommitted: answerWaiters.failUncommitted,
    onEnded(attempt) {
      metrics.attemptEnded(attempt)
      minutes.attemptEnded(attempt)
      if (hasTimedOut(attempt.outcome)) systemLimits.noteTimeout(attempt.job.task)
    },
  })
  notifier?.onWork(dispatcher.wake)
  notifier?.onTakeover(metrics.recovered)
  store.onChange(({ voided }) => voided.forEach(dispatcher.cancel))
  const takesFirstJobs = config.firstJobs === 'main'
  const taking = createIntake({ ...config, store, registry, guard, takesFirstJobs, dispatcher, answerWaiters, clock })
  const intake: Intake = telemetry === null ? taking : { ...taking, submit: telemetry.traceSubmit(taking.submit) }

  const schedules = createSchedules({
    store,
    intake,
    registry,
    clock,
    log,
    declared: declaredSchedules(registry, declared),
    parse: (body) => parseSchedule(body, config.maxTasksPerRun),
    onTick: metrics.ticked,
  })

  const parse = (text: string) => parseRunText(text, config)
  const inboxReader = inbox && createInboxReader({ ...config, inbox, intake, parse, partsOf: partsOfRequest, log })
  const pruner = createPruner({ ...config, store, clock, log })
  /** Where the library is mounted, for the paths in webhooks. */
  let ownPrefix = ''
  function createSender(): WebhookSender | null {
    if (config.role === 'http') return null
    if (config.webhookSecret.length === 0) return createMissingSender({ store, log })
    return createWebhookSender({
      store,
      secrets: config.webhookSecret,
      post: createPost({ allowPrivate: config.webhookAllowPrivate }),
      textOf: (run) => eventText(withoutSecrets(run), { showsStacks: false, prefix: ownPrefix }),
      onTried: metrics.webhookTried,
      onGivenUp: metrics.webhookGivenUp,
      clock,
      log,
    })
  }
  const sender = createSender()
  const noteDeliveryDue = (): void => sender?.wake()
  store.onChange(({ isDeliveryDue }) => isDeliveryDue === true && noteDeliveryDue())
  const periodic = [
    pruner,
    createClockWatch({ clock, store, log, onStepped: schedules.clockStepped, onShifted: dispatcher.wake }),
    createUnknownTaskWatch({ store, clock, log }),
    createExpiry({ store, clock, log }),
    createLinePruner({ ...config, store, clock, log }),
    ...(notifier === null ? [] : [createProgressPublisher({ notifier, allProgress: dispatcher.allProgress })]),
  ]

  const progressOf: ProgressOf = (...job) => dispatcher.progress(...job) ?? notifier?.remoteProgress(...job) ?? null
  const http = createHttp({
    config,
    store,
    registry,
    intake,
    schedules,
    pool,
    feed,
    trouble: () => pool.unhealthyReason() ?? systemLimits.unhealthyReason(),
    progressOf,
    whyWaiting: dispatcher.whyWaiting,
    loopDelay,
    lines,
    minutes,
    metrics,
    noteDeliveryDue,
    clock,
    log,
  })
  intake.onAdmitted(http.noteChange)
  store.onChange(http.noteChange)
  metrics.observeStreams(http.openStreams)
  const { middleware } = http.mount({ prefix: '', isHosted: false })

  return {
    middleware,
    committed: metrics.committed,
    mount: http.mount,
    connect(prefix) {
      ownPrefix = prefix
      const ask = http.connect(prefix)
      if (telemetry === null) return ask
      return (url, init) => ask(url, { ...init, headers: telemetry.inject(init.headers) })
    },
    async start() {
      await schedules.checkDeclared()
      await dispatcher.start()
      mainThread.start()
      systemLimits.start()
      minutes.start()
      for (const work of periodic) work.start()
      sender?.start()
      intake.open()
      await schedules.start()
      inboxReader?.start()
    },
    async drain() {
      http.dismissPolls()
      dispatcher.excuseFailures()
      // The intake closes first, so that it refuses the runs of the inbox and of schedules, which wait for the next start.
      await Promise.all([intake.close(), inboxReader?.stop(), schedules.stop()])
      const [isCommitted] = await Promise.all([
        dispatcher.drain(config.shutdownGraceMs),
        pruner.stop(),
        sender?.drain(Math.min(config.shutdownGraceMs, webhookGraceMs)),
      ])
      await intake.dismiss()
      await Promise.all([lines.flush(), minutes.flush()])
      // Last, so that streams show how the jobs have ended.
      await http.closeStreams()
      return isCommitted
    },
    stop() {
      void schedules.stop()
      dispatcher.giveUpCommits()
      keeper.giveUp()
      sender?.stop()
      http.stop()
      for (const work of periodic) void work.stop()
      loopDelay.stop()
      minutes.stop()
      metrics.stop()
      systemLimits.stop()
    },
  }
}

function hasTimedOut(outcome: AttemptOutcome): boolean {
  return outcome !== 'released' && !outcome.ok && outcome.error.code === 'timeout'
}
