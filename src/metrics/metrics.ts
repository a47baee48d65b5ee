/** Metrics for Prometheus: some are counted as things happen, the others are read at each request. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob } from '../domain/claim.ts'
import type { MainThreadGuard } from '../execution/main-thread/main-thread-guard.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { SystemLimits } from '../limits/system-limits.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LoopDelay } from '../runtime/event-loop.ts'
import type { Store } from '../store/store.ts'
import type { TryOutcome } from '../webhooks/sender.ts'
import { endOf } from './minutes.ts'
import { createRecent, type RecentFigures } from './recent.ts'

export interface Metrics {
  /** Called when the answer of a run was decided, `tookMs` after its request came. */
  answered(tookMs: number): void
  /** Called when a group of verbs was committed. */
  committed(verbs: number, tookMs: number): void
  /** Called when jobs of a process that died were taken back. */
  recovered(jobs: number): void
  attemptStarted(job: ClaimedJob): void
  attemptEnded(attempt: EndedAttempt): void
  webhookTried(outcome: TryOutcome, tookMs: number): void
  webhookGivenUp(): void
  /** Called for each tick of a schedule. @param outcome `run`, `missed` or `refused` */
  ticked(outcome: string): void
  /** The last minutes of this process. */
  recent(): RecentFigures
  /** The number of claims of this process that were lost, or whose attempts were stopped though no cancel had ended them. */
  lostClaims(): number
  /** Sets the function that counts the open event streams. */
  observeStreams(count: () => number): void
  /** All metrics in the text format of Prometheus. @throws AppError `store-unavailable` */
  text(): Promise<string>
  readonly contentType: string
  stop(): void
}

export interface MetricsOptions {
  readonly store: Store
  readonly pool: Pool
  readonly loopDelay: LoopDelay
  readonly guard: Pick<MainThreadGuard, 'counts'>
  readonly limits: Pick<SystemLimits, 'counts'>
  readonly clock: Clock
}

const sPerMs = 0.001
/** Bounds of buckets, in seconds: `quick` for commits and responses, `slow` for jobs of up to half an hour. */
const quick = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const slow = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800]
const groupSizes = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000]

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const histogram = (name: string, help: string, labelNames: string[], buckets: number[]) =>
    new Histogram({ name: `forerunner_${name}`, help, labelNames, buckets, registers })
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `forerunner_${name}`, help, labelNames, registers })

  const firstResponse = histogram(
    'first_response_seconds',
    'From the request to the decided answer of its run',
    [],
    quick,
  )
  const commit = histogram('commit_seconds', 'How long one group of the store took, on its way and on disk', [], quick)
  const groupSize = histogram('commit_verbs', 'How many verbs one group of the store held', [], groupSizes)
  const queueWait = histogram(
    'queue_wait_seconds',
    'How long jobs of the pool were due before they were claimed',
    ['kind'],
    slow,
  )
  const duration = histogram(
    'job_duration_seconds',
    'How long one attempt took, by its outcome',
    ['task', 'outcome'],
    slow,
  )
  const jobs = counter('jobs_total', 'Jobs that ended for good after an attempt here, by its outcome', [
    'task',
    'outcome',
  ])
  const retries = counter('retries_total', 'Attempts that did not succeed and are followed by another', ['task'])
  const webhooks = histogram(
    'webhook_seconds',
    'How long one try to send a webhook took, by its outcome',
    ['outcome'],
    slow,
  )
  const webhooksGivenUp = counter(
    'webhooks_given_up_total',
    'Webhooks that were given up: the last try failed, or the receiver answered 410',
    [],
  )
  const ticks = counter(
    'schedule_ticks_total',
    'Ticks of schedules that this process has dealt with, by what became of them: run, missed or refused',
    ['outcome'],
  )
  const recent = createRecent(options)
  let stoppedAttempts = 0
  const lostClaims = (): number => (options.store.notifier?.lostClaims() ?? 0) + stoppedAttempts
  let openStreams = (): number => 0
  const read = createReadings({ ...options, registry, lostClaims, openStreams: () => openStreams() })

  return {
    answered(tookMs) {
      firstResponse.observe(tookMs * sPerMs)
      recent.answered(tookMs)
    },
    committed(verbs, tookMs) {
      commit.observe(tookMs * sPerMs)
      groupSize.observe(verbs)
    },
    ticked: (outcome) => ticks.inc({ outcome }),
    lostClaims,
    observeStreams(count) {
      openStreams = count
    },
    recovered: recent.recovered,
    webhookTried: (outcome, tookMs) => webhooks.observe({ outcome }, tookMs * sPerMs),
    webhookGivenUp: () => webhooksGivenUp.inc(),
    attemptStarted: recent.attemptStarted,
    attemptEnded(attempt) {
      const { job, tookMs, isFinal, wasStopped } = attempt
      recent.attemptEnded(attempt)
      if (wasStopped) stoppedAttempts += 1
      const labels = { task: job.task, outcome: nameOf(attempt) }
      if (job.thread !== 'main') queueWait.observe({ kind: job.kind }, job.waitedMs * sPerMs)
      duration.observe(labels, tookMs * sPerMs)
      if (isFinal) jobs.inc(labels)
      else if (endOf(attempt) === 'retried') retries.inc({ task: job.task })
    },
    async text() {
      await read()
      return registry.metrics()
    },
    recent: recent.read,
    contentType: registry.contentType,
    stop: recent.stop,
  }
}

function nameOf({ outcome }: EndedAttempt): string {
  if (outcome === 'released') return outcome
  return outcome.ok ? 'completed' : outcome.error.code
}

type StoreStats = Awaited<ReturnType<Store['stats']>>
/** A value, or a list of values with their labels; values with the same labels are added up. */
type Reading = number | readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[]

interface ReadingsOptions extends MetricsOptions {
  readonly registry: Registry
  readonly lostClaims: () => number
  readonly openStreams: () => number
}

/** @returns a function that reads all values again. It rejects if the store is unavailable. */
function createReadings(options: ReadingsOptions): () => Promise<void> {
  const { store, pool, loopDelay, guard, limits, clock, registry, lostClaims, openStreams } = options
  const updates: ((stats: StoreStats) => void)[] = []

  function add(metric: Gauge | Counter, read: (stats: StoreStats) => Reading): void {
    updates.push((stats) => {
      const reading = read(stats)
      metric.reset()
      for (const [labels, value] of typeof reading === 'number' ? [[{}, reading] as const] : reading) {
        metric.inc(labels, value)
      }
    })
  }
  const gauge = (name: string, help: string, labelNames: string[], read: (stats: StoreStats) => Reading): void =>
    add(new Gauge({ name: `forerunner_${name}`, help, labelNames, registers: [registry] }), read)
  const counter = (name: string, help: string, labelNames: string[], read: () => Reading): void =>
    add(new Counter({ name: `forerunner_${name}`, help, labelNames, registers: [registry] }), read)

  const byState = (counts: Readonly<Record<string, number>>): Reading =>
    Object.entries(counts).map(([state, count]) => [{ state }, count])

  gauge('backlog', 'Jobs that are not final', [], () => store.backlog())
  gauge('oldest_queued_seconds', 'How long the longest-waiting due job has been due', [], ({ oldestQueuedMs }) => {
    return (oldestQueuedMs ?? 0) * sPerMs
  })
  gauge('unknown_task_jobs', 'Waiting jobs of tasks that no process runs', ['task'], ({ unknownTasks }) =>
    Object.entries(unknownTasks).map(([task, count]) => [{ task }, count]),
  )
  gauge('task_paused', '1 for each paused task', ['task'], () => [...store.pausedTasks()].map((task) => [{ task }, 1]))
  counter(
    'lost_claims_total',
    'Claims that ended without a cancel or an outcome: taken over by another process, or stopped without a cause',
    [],
    lostClaims,
  )
  gauge('runs', 'Runs that are kept, by state', ['state'], ({ runs }) => byState(runs))
  gauge('jobs', 'Jobs that are kept, by state', ['state'], ({ jobs }) => byState(jobs))
  gauge('jobs_lost', 'Jobs that were accepted and are neither live nor final: always 0', [], ({ conservation }) => {
    return conservation.lost
  })
  gauge('event_loop_delay_seconds', 'Delay of the event loop, in the minute under way', ['quantile'], () => {
    const { p50, p99, max } = loopDelay.read()
    return Object.entries({ '0.5': p50, '0.99': p99, '1': max }).map(([quantile, ms]) => [{ quantile }, ms * sPerMs])
  })
  gauge('pool_threads', 'Threads of the pool', ['kind', 'state'], () =>
    pool.threads().map(({ kind, state }) => [{ kind, state }, 1]),
  )
  gauge('pool_running_jobs', 'Jobs on threads of the pool', ['kind'], () =>
    pool.threads().map(({ kind, running }) => [{ kind }, running]),
  )
  gauge('pool_thread_busy_ratio', 'Which part of its time since the start a thread was busy', ['thread'], () =>
    pool.threads().map(({ name, busyShare }) => [{ thread: name }, busyShare]),
  )
  counter('pool_replaced_threads_total', 'Threads that were replaced, by cause', ['cause'], () =>
    Object.entries(pool.counts().replaced).map(([cause, count]) => [{ cause }, count]),
  )
  gauge('pool_zombie_threads', 'Killed threads that are stuck in native code', [], () => pool.counts().zombies)
  counter(
    'main_overruns_total',
    'First jobs that held up the main thread: cut off (interrupted), or let end over their budget (over_budget)',
    ['task', 'end'],
    () =>
      Object.entries(guard.counts().overruns).flatMap(([task, { interrupted, overBudget }]) => [
        [{ task, end: 'interrupted' }, interrupted],
        [{ task, end: 'over_budget' }, overBudget],
      ]),
  )
  gauge('main_cooling_tasks', 'Tasks whose first jobs run in the pool for a while', [], () => {
    return guard.counts().coolingDown.length
  })
  gauge('event_streams', 'Open streams of events', [], openStreams)
  gauge('open_descriptors', 'Open file descriptors of the process', [], () => limits.counts().descriptors)
  gauge('max_descriptors', 'How many file descriptors it may have', [], () => limits.counts().maxDescriptors)
  gauge(
    'native_stuck_seconds',
    'How long native calls of tasks have held all threads of libuv: 0 while they come back',
    [],
    () => limits.counts().nativeStuckMs * sPerMs,
  )

  return async () => {
    const stats = await store.stats(clock.now())
    for (const update of updates) update(stats)
  }
}
