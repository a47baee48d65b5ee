/**
 * The last minutes of this process: the attempts under way, how long answers, waits and attempts took, and a row of
 * figures for every ten seconds. All of it is in memory, and bounded. `recentSchema` of `http/views/stats` describes it.
 */
import { availableParallelism } from 'node:os'
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob } from '../domain/claim.ts'
import { minuteMs } from '../domain/task-history.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Clock } from '../runtime/clock.ts'
import { createLoopDelay } from '../runtime/event-loop.ts'
import type { Store } from '../store/store.ts'
import { type Buckets, createSlidingHistogram, type Quantiles, quantilesOf, record } from './histogram.ts'
import { endOf } from './minutes.ts'

interface RecentSlot {
  readonly at: string
  readonly accepted: number
  readonly final: number
  readonly backlog: number
  readonly firstResponseMs: Quantiles
  readonly queueWaitMs: Quantiles
  readonly eventLoopDelayMs: number
  readonly cpuShare: number
}

/** An event that explains a change in the figures. */
interface RecentEvent {
  readonly at: string
  readonly kind: 'started' | 'recovered' | 'thread-replaced'
  readonly count: number
  readonly cause?: string
}

export type Recent = ReturnType<typeof createRecent>
export type RecentFigures = ReturnType<Recent['read']>

export interface RecentOptions {
  readonly store: Pick<Store, 'stats' | 'backlog'>
  readonly pool: Pick<Pool, 'counts'>
  readonly clock: Clock
}

const slotMs = 10_000
const windowMinutes = 5
const keptSlots = 90
const keptEvents = 50
const maxRunningShown = 200
const usPerMs = 1_000

const overWindow = () => createSlidingHistogram(minuteMs, windowMinutes)

const newTask = () => ({ waits: overWindow(), runs: overWindow(), failures: overWindow(), retries: overWindow() })

export function createRecent({ store, pool, clock }: RecentOptions) {
  const now = (): string => new Date(clock.now()).toISOString()
  /** By the claimed job, because two attempts of one job can be under way: one that was cancelled, and its retry. */
  const startedAt = new Map<ClaimedJob, number>()
  const tasks = new Map<string, ReturnType<typeof newTask>>()
  const answers = overWindow()
  const waits = overWindow()
  const slots: RecentSlot[] = []
  const events: RecentEvent[] = [{ at: now(), kind: 'started', count: 1 }]
  const loopDelay = createLoopDelay(Infinity)
  const takeCpuShare = createCpuShare()
  let slotAnswers: Buckets = new Map()
  let slotWaits: Buckets = new Map()
  let replaced: Readonly<Record<string, number | undefined>> = {}
  let lastTotals: { readonly accepted: number; readonly final: number } | null = null
  const timer = setInterval(() => void endSlot(), slotMs).unref()
  void endSlot()

  function addEvent(event: RecentEvent): void {
    events.push(event)
    if (events.length > keptEvents) events.shift()
  }

  function addReplacedThreads(): void {
    const before = replaced
    replaced = pool.counts().replaced
    for (const [cause, total = 0] of Object.entries(replaced)) {
      const count = total - (before[cause] ?? 0)
      if (count > 0) addEvent({ at: now(), kind: 'thread-replaced', count, cause })
    }
  }

  async function endSlot(): Promise<void> {
    addReplacedThreads()
    const ownFigures = {
      at: now(),
      firstResponseMs: quantilesOf(slotAnswers),
      queueWaitMs: quantilesOf(slotWaits),
      eventLoopDelayMs: loopDelay.take().p99,
      cpuShare: takeCpuShare(),
    }
    slotAnswers = new Map()
    slotWaits = new Map()
    // The store may not be open yet, or be out of reach. Then there is no row.
    const stats = await store.stats(clock.now()).catch(() => null)
    if (stats === null) return
    const { accepted, final } = stats.conservation
    if (lastTotals !== null) {
      slots.push({
        ...ownFigures,
        accepted: Math.max(0, accepted - lastTotals.accepted),
        // A retry makes a final job live again, so the total can shrink.
        final: Math.max(0, final - lastTotals.final),
        backlog: store.backlog(),
      })
    }
    if (slots.length > keptSlots) slots.shift()
    lastTotals = { accepted, final }
  }

  function taskOf(name: string): ReturnType<typeof newTask> {
    const task = tasks.get(name) ?? newTask()
    tasks.set(name, task)
    return task
  }

  return {
    /** Called when jobs of a process that died were taken back. */
    recovered: (jobs: number) => addEvent({ at: now(), kind: 'recovered', count: jobs }),
    answered(tookMs: number) {
      answers.record(tookMs)
      record(slotAnswers, tookMs)
    },
    attemptStarted: (job: ClaimedJob) => void startedAt.set(job, clock.now()),
    attemptEnded(attempt: EndedAttempt) {
      const { job, tookMs } = attempt
      startedAt.delete(job)
      const end = endOf(attempt)
      if (end === null) return
      const task = taskOf(job.task)
      task.runs.record(tookMs)
      if (end === 'failed') task.failures.record(tookMs)
      if (end === 'retried') task.retries.record(tookMs)
      if (job.thread === 'main') return
      task.waits.record(job.waitedMs)
      waits.record(job.waitedMs)
      record(slotWaits, job.waitedMs)
    },
    read: () => ({
      windowMs: windowMinutes * minuteMs,
      firstResponseMs: answers.read(),
      queueWaitMs: waits.read(),
      running: [...startedAt].slice(0, maxRunningShown).map(([job, at]) => viewRunning(job, at)),
      tasks: [...tasks].map(([name, task]) => readTask(name, task)).toSorted((a, b) => a.name.localeCompare(b.name)),
      slotMs,
      slots,
      events,
    }),
    stop() {
      clearInterval(timer)
      loopDelay.stop()
    },
  }
}

function viewRunning({ thread, runId, jobIndex, task, attempt }: ClaimedJob, startedAt: number) {
  return { thread, runId, jobIndex, task, attempt, startedAt: new Date(startedAt).toISOString() }
}

function readTask(name: string, { waits, runs, failures, retries }: ReturnType<typeof newTask>) {
  const runMs = runs.read()
  const failed = failures.read().count
  const retried = retries.read().count
  return { name, completed: runMs.count - failed - retried, failed, retried, waitMs: waits.read(), runMs }
}

/** @returns a function that returns the share of all cores that the process used since its last call */
function createCpuShare(): () => number {
  let lastUsage = process.cpuUsage()
  let lastAt = performance.now()

  return () => {
    const { user, system } = process.cpuUsage(lastUsage)
    const elapsedMs = Math.max(1, performance.now() - lastAt)
    lastUsage = process.cpuUsage()
    lastAt = performance.now()
    return Number(((user + system) / usPerMs / elapsedMs / availableParallelism()).toFixed(3))
  }
}
