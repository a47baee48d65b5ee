/** What is looked up when somebody asks: the state of the store, of the pool and of the event loop. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { MainThreadGuard } from '../execution/main-thread/main-thread-guard.ts'
import type { Limits } from '../limits/limits.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Store } from '../store/store.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LoopDelay } from '../runtime/event-loop.ts'

export interface Sources {
  readonly store: Store
  readonly pool: Pool
  readonly loopDelay: LoopDelay
  readonly guard: Pick<MainThreadGuard, 'counts'>
  readonly limits: Pick<Limits, 'counts'>
  readonly clock: Clock
}

const sPerMs = 0.001

/** @returns a function that takes all readings anew; it rejects when the store does not answer */
export function createObserved(
  sources: Sources & { readonly lostClaims: () => number; readonly openStreams: () => number },
  registry: Registry,
): () => Promise<void> {
  const { store, pool, loopDelay, guard, limits, openStreams, clock } = sources
  const registers = [registry]
  const gauge = (name: string, help: string, labelNames: string[]) => new Gauge({ name, help, labelNames, registers })
  const backlog = gauge('forerunner_backlog', 'Jobs that are not final', [])
  const oldest = gauge('forerunner_oldest_queued_seconds', 'How long the longest-waiting due job has been due', [])
  const unknown = gauge('forerunner_unknown_task_jobs', 'Waiting jobs of tasks that no process runs', ['task'])
  const paused = gauge('forerunner_task_paused', '1 for each paused task', ['task'])
  const lostClaims = new Counter({
    name: 'forerunner_lost_claims_total',
    help: 'Claims that ended without a cancel or an outcome: taken over by another process, or stopped without a cause',
    registers,
  })
  const runs = gauge('forerunner_runs', 'Runs that are kept, by state', ['state'])
  const jobs = gauge('forerunner_jobs', 'Jobs that are kept, by state', ['state'])
  const lost = gauge('forerunner_jobs_lost', 'Jobs that were accepted and are neither live nor final: always 0', [])
  const delay = gauge('forerunner_event_loop_delay_seconds', 'Delay of the event loop, in the minute under way', [
    'quantile',
  ])
  const threads = gauge('forerunner_pool_threads', 'Threads of the pool', ['kind', 'state'])
  const running = gauge('forerunner_pool_running_jobs', 'Jobs on threads of the pool', ['kind'])
  const busy = gauge('forerunner_pool_thread_busy_ratio', 'Which part of its time since the start a thread was busy', [
    'thread',
  ])
  const replaced = new Counter({
    name: 'forerunner_pool_replaced_threads_total',
    help: 'Threads that were replaced, by cause',
    labelNames: ['cause'],
    registers,
  })
  const zombies = gauge('forerunner_pool_zombie_threads', 'Killed threads that are stuck in native code', [])

  const overruns = new Counter({
    name: 'forerunner_main_overruns_total',
    help: 'First jobs that held up the main thread: cut off (interrupted), or let end over their budget (over_budget)',
    labelNames: ['task', 'end'],
    registers,
  })
  const cooling = gauge('forerunner_main_cooling_tasks', 'Tasks whose first jobs run in the pool for a while', [])
  const streams = gauge('forerunner_event_streams', 'Open streams of events', [])
  const descriptors = gauge('forerunner_open_descriptors', 'Open file descriptors of the process', [])
  const maxDescriptors = gauge('forerunner_max_descriptors', 'How many file descriptors it may have', [])
  const nativeStuck = gauge(
    'forerunner_native_stuck_seconds',
    'How long native calls of tasks have held all threads of libuv: 0 while they come back',
    [],
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
