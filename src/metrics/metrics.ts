/** The service's own numbers for Prometheus: what is counted as it happens, and what is looked up at each request. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob, AttemptOutcome } from '../domain/claim.ts'
import type { MainThreadGuard } from '../execution/main-thread/main-thread-guard.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { SystemLimits } from '../limits/system-limits.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LoopDelay } from '../runtime/event-loop.ts'
import type { Store } from '../store/store.ts'
import type { TryOutcome } from '../webhooks/sender.ts'
import { createRecent, type RecentFigures } from './recent.ts'

export interface Metrics {
  /** The answer of a run was decided `tookMs` after its request came. */
  answered(tookMs: number): void
  /** A group of verbs was committed. */
  committed(verbs: number, tookMs: number): void
  /** Jobs of a process that died were taken back. */
  recovered(jobs: number): void
  attemptStarted(job: ClaimedJob): void
  attemptEnded(attempt: EndedAttempt): void
  webhookTried(outcome: TryOutcome, tookMs: number): void
  webhookGivenUp(): void
  /** What has become of a tick of a schedule. */
  ticked(outcome: string): void
  /** The last minutes of this process. */
  recent(): RecentFigures
  /** Claims of this process that ended, or whose attempts were stopped, without a cancel or an outcome. */
  lostClaims(): number
  /** Sets the function that counts the open streams. */
  observeStreams(count: () => number): void
  /** All of them in Prometheus' text format. @throws AppError `store-unavailable` */
  text(): Promise<string>
  readonly contentType: string
  stop(): void
}

export interface Sources {
  readonly store: Store
  readonly pool: Pool
  readonly loopDelay: LoopDelay
  readonly guard: Pick<MainThreadGuard, 'counts'>
  readonly limits: Pick<SystemLimits, 'counts'>
  readonly clock: Clock
}

const sPerMs = 0.001
/** From a commit on a good disk to a job of several minutes, in seconds. */
const quick = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const slow = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800]
const groupSizes = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000]

export function createMetrics(sources: Sources): Metrics {
  const registry = new Registry()
  const { counter, histogram } = createInstruments(registry)
  const firstResponse = histogram(
    'forerunner_first_response_seconds',
    'From the request to the decided answer of its run',
    quick,
  )
  const commit = histogram(
    'forerunner_commit_seconds',
    'How long one group of the store took, on its way and on disk',
    quick,
  )
  const groupSize = histogram('forerunner_commit_verbs', 'How many verbs one group of the store held', groupSizes)
  const queueWait = histogram(
    'forerunner_queue_wait_seconds',
    'How long jobs of the pool were due before they were claimed',
    slow,
    ['kind'],
  )
  const duration = histogram('forerunner_job_duration_seconds', 'How long one attempt took, by its outcome', slow, [
    'task',
    'outcome',
  ])
  const jobs = counter('forerunner_jobs_total', 'Jobs that ended for good after an attempt here, by its outcome', [
    'task',
    'outcome',
  ])
  const retries = counter('forerunner_retries_total', 'Attempts that did not succeed and are followed by another', [
    'task',
  ])
  const webhooks = histogram(
    'forerunner_webhook_seconds',
    'How long one try to send a webhook took, by its outcome',
    slow,
    ['outcome'],
  )
  const givenUp = counter(
    'forerunner_webhooks_given_up_total',
    'Webhooks that were given up: the last try failed, or the receiver answered 410',
  )
  const ticks = counter(
    'forerunner_schedule_ticks_total',
    'Ticks of schedules that this process has dealt with, by what became of them: run, missed or refused',
    ['outcome'],
  )
  let stopped = 0
  const lostClaims = (): number => (sources.store.notifier?.lostClaims() ?? 0) + stopped
  const recent = createRecent(sources)
  let openStreams = (): number => 0
  const observe = createReadings({ ...sources, lostClaims, openStreams: () => openStreams() }, registry)

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
    webhookGivenUp: () => givenUp.inc(),
    attemptStarted: recent.attemptStarted,
    attemptEnded(attempt) {
      const { job, outcome, tookMs, isFinal, wasStopped } = attempt
      recent.attemptEnded(attempt)
      if (wasStopped) stopped += 1
      const labels = { task: job.task, outcome: nameOf(outcome) }
      if (job.thread !== 'main') queueWait.observe({ kind: job.kind }, job.waitedMs * sPerMs)
      duration.observe(labels, tookMs * sPerMs)
      if (isFinal) jobs.inc(labels)
      else if (outcome !== 'released' && !outcome.ok && outcome.error.code !== 'cancelled')
        retries.inc({ task: job.task })
    },
    async text() {
      await observe()
      return registry.metrics()
    },
    recent: recent.read,
    contentType: registry.contentType,
    stop: recent.stop,
  }
}

/** @returns a function that takes all readings again; it rejects when the store does not answer */
function createReadings(
  sources: Sources & { readonly lostClaims: () => number; readonly openStreams: () => number },
  registry: Registry,
): () => Promise<void> {
  const { store, pool, loopDelay, guard, limits, openStreams, clock } = sources
  const { counter, gauge } = createInstruments(registry)
  const backlog = gauge('forerunner_backlog', 'Jobs that are not final')
  const oldest = gauge('forerunner_oldest_queued_seconds', 'How long the longest-waiting due job has been due')
  const unknown = gauge('forerunner_unknown_task_jobs', 'Waiting jobs of tasks that no process runs', ['task'])
  const paused = gauge('forerunner_task_paused', '1 for each paused task', ['task'])
  const lostClaims = counter(
    'forerunner_lost_claims_total',
    'Claims that ended without a cancel or an outcome: taken over by another process, or stopped without a cause',
  )
  const runs = gauge('forerunner_runs', 'Runs that are kept, by state', ['state'])
  const jobs = gauge('forerunner_jobs', 'Jobs that are kept, by state', ['state'])
  const lost = gauge('forerunner_jobs_lost', 'Jobs that were accepted and are neither live nor final: always 0')
  const delay = gauge('forerunner_event_loop_delay_seconds', 'Delay of the event loop, in the minute under way', [
    'quantile',
  ])
  const threads = gauge('forerunner_pool_threads', 'Threads of the pool', ['kind', 'state'])
  const running = gauge('forerunner_pool_running_jobs', 'Jobs on threads of the pool', ['kind'])
  const busy = gauge('forerunner_pool_thread_busy_ratio', 'Which part of its time since the start a thread was busy', [
    'thread',
  ])
  const replaced = counter('forerunner_pool_replaced_threads_total', 'Threads that were replaced, by cause', ['cause'])
  const zombies = gauge('forerunner_pool_zombie_threads', 'Killed threads that are stuck in native code')

  const overruns = counter(
    'forerunner_main_overruns_total',
    'First jobs that held up the main thread: cut off (interrupted), or let end over their budget (over_budget)',
    ['task', 'end'],
  )
  const cooling = gauge('forerunner_main_cooling_tasks', 'Tasks whose first jobs run in the pool for a while')
  const streams = gauge('forerunner_event_streams', 'Open streams of events')
  const descriptors = gauge('forerunner_open_descriptors', 'Open file descriptors of the process')
  const maxDescriptors = gauge('forerunner_max_descriptors', 'How many file descriptors it may have')
  const nativeStuck = gauge(
    'forerunner_native_stuck_seconds',
    'How long native calls of tasks have held all threads of libuv: 0 while they come back',
  )

  return async () => {
    const stats = await store.stats(clock.now())
    backlog.set(store.backlog())
    oldest.set((stats.oldestQueuedMs ?? 0) * sPerMs)
    unknown.reset()
    paused.reset()
    for (const task of store.pausedTasks()) paused.set({ task }, 1)
    lostClaims.reset()
    lostClaims.inc(sources.lostClaims())
    for (const [task, count] of Object.entries(stats.unknownTasks)) unknown.set({ task }, count)
    for (const [state, count] of Object.entries(stats.runs)) runs.set({ state }, count)
    for (const [state, count] of Object.entries(stats.jobs)) jobs.set({ state }, count)
    lost.set(stats.conservation.lost)
    const { p50, p99, max } = loopDelay.read()
    for (const [quantile, ms] of [
      ['0.5', p50],
      ['0.99', p99],
      ['1', max],
    ] as const)
      delay.set({ quantile }, ms * sPerMs)
    threads.reset()
    running.reset()
    for (const { name, kind, state, running: count, busyShare } of pool.threads()) {
      threads.inc({ kind, state })
      running.inc({ kind }, count)
      busy.set({ thread: name }, busyShare)
    }
    const counts = pool.counts()
    replaced.reset()
    for (const [cause, count] of Object.entries(counts.replaced)) replaced.inc({ cause }, count)
    zombies.set(counts.zombies)
    const { overruns: overrun, coolingDown } = guard.counts()
    overruns.reset()
    for (const [task, { interrupted, overBudget }] of Object.entries(overrun)) {
      overruns.inc({ task, end: 'interrupted' }, interrupted)
      overruns.inc({ task, end: 'over_budget' }, overBudget)
    }
    cooling.set(coolingDown.length)
    streams.set(openStreams())
    const counted = limits.counts()
    descriptors.set(counted.descriptors)
    maxDescriptors.set(counted.maxDescriptors)
    nativeStuck.set(counted.nativeStuckMs * sPerMs)
  }
}

function createInstruments(registry: Registry) {
  const registers = [registry]
  return {
    counter: (name: string, help: string, labelNames: string[] = []) =>
      new Counter({ name, help, labelNames, registers }),
    gauge: (name: string, help: string, labelNames: string[] = []) => new Gauge({ name, help, labelNames, registers }),
    histogram: (name: string, help: string, buckets: number[], labelNames: string[] = []) =>
      new Histogram({ name, help, buckets, labelNames, registers }),
  }
}

function nameOf(outcome: AttemptOutcome): string {
  if (outcome === 'released') return outcome
  return outcome.ok ? 'completed' : outcome.error.code
}
