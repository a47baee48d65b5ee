/**
 * The last minutes of this process: the attempts under way, how long answers, waits and attempts took, and a row of
 * figures every ten seconds. In memory, and bounded.
 */
import { availableParallelism } from 'node:os'
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob } from '../domain/claim.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Store } from '../store/store.ts'
import { createLoopDelay } from '../runtime/event-loop.ts'
import { createSlidingHistogram, type Quantiles, type SlidingHistogram } from './sliding-histogram.ts'

export interface RunningAttempt {
  readonly thread: string
  readonly runId: string
  readonly jobIndex: number
  readonly task: string
  readonly attempt: number
  /** Epoch milliseconds. */
  readonly startedAt: number
}

/** Attempts that ended within the window, and how long they took and waited. */
export interface RecentTask {
  readonly name: string
  readonly completed: number
  readonly failed: number
  readonly retried: number
  readonly waitMs: Quantiles
  readonly runMs: Quantiles
}

/** Ten seconds. */
export interface RecentSlot {
  /** Its end, in epoch milliseconds. */
  readonly at: number
  /** Jobs, of all processes. */
  readonly accepted: number
  readonly final: number
  readonly backlog: number
  readonly firstResponseMs: Quantiles
  readonly queueWaitMs: Quantiles
  readonly eventLoopDelayMs: number
  /** Which part of all cores the process used, from 0 to 1. */
  readonly cpuShare: number
}

/** What the lines of the last minutes do not say by themselves. */
export interface RecentEvent {
  /** Epoch milliseconds; of a thread, the end of its ten seconds. */
  readonly at: number
  readonly kind: 'started' | 'recovered' | 'thread-replaced'
  /** Jobs that were taken back, or threads; 1 for the start of the process. */
  readonly count: number
  /** Of a thread. */
  readonly cause?: string
}

export interface RecentFigures {
  readonly windowMs: number
  readonly firstResponseMs: Quantiles
  readonly queueWaitMs: Quantiles
  /** The longest first. */
  readonly running: readonly RunningAttempt[]
  readonly tasks: readonly RecentTask[]
  readonly slotMs: number
  /** The oldest first. */
  readonly slots: readonly RecentSlot[]
  /** The oldest first. */
  readonly events: readonly RecentEvent[]
}

export interface Recent {
  /** Jobs of a process that died were taken back. */
  recovered(jobs: number): void
  answered(tookMs: number): void
  attemptStarted(job: ClaimedJob): void
  attemptEnded(attempt: EndedAttempt): void
  read(): RecentFigures
  stop(): void
}

export interface RecentOptions {
  readonly store: Pick<Store, 'stats' | 'backlog'>
  readonly pool: Pick<Pool, 'counts'>
  readonly clock: Clock
  readonly slotMs?: number
}

const defaultSlotMs = 10_000
const minuteMs = 60_000
const windowMinutes = 5
const keptSlots = 90
const keptEvents = 50
/** Attempts that are shown at most. */
const maxShown = 200
const usPerMs = 1_000

interface TaskFigures {
  readonly wait: SlidingHistogram
  readonly run: SlidingHistogram
  readonly failure: SlidingHistogram
  readonly retry: SlidingHistogram
}

const ofMinutes = (): SlidingHistogram => createSlidingHistogram(minuteMs, windowMinutes)
/** Until it is replaced. */
const ofSlot = (): SlidingHistogram => createSlidingHistogram(Infinity, 1)

export function createRecent({ store, pool, clock, slotMs = defaultSlotMs }: RecentOptions): Recent {
  /** By the job as it was claimed: of one that was cancelled and retried, two attempts can be under way. */
  const running = new Map<object, RunningAttempt>()
  const tasks = new Map<string, TaskFigures>()
  const [answers, waits] = [ofMinutes(), ofMinutes()]
  let [slotAnswers, slotWaits] = [ofSlot(), ofSlot()]
  const loopDelay = createLoopDelay(Infinity)
  const slots: RecentSlot[] = []
  const events: RecentEvent[] = [{ at: clock.now(), kind: 'started', count: 1 }]
  let replaced: Readonly<Record<string, number | undefined>> = {}
  let before: { readonly accepted: number; readonly final: number } | null = null
  let cpu = process.cpuUsage()
  let cpuAt = performance.now()
  const timer = setInterval(() => void addSlot(), slotMs).unref()
  void addSlot()

  function takeCpuShare(): number {
    const used = process.cpuUsage(cpu)
    const tookMs = performance.now() - cpuAt
    cpu = process.cpuUsage()
    cpuAt = performance.now()
    return (used.user + used.system) / usPerMs / Math.max(1, tookMs) / availableParallelism()
  }

  function addEvent(event: RecentEvent): void {
    events.push(event)
    if (events.length > keptEvents) events.shift()
  }

  function addReplaced(at: number): void {
    const now = pool.counts().replaced
    for (const [cause, total] of Object.entries(now)) {
      const count = total - (replaced[cause] ?? 0)
      if (count > 0) addEvent({ at, kind: 'thread-replaced', count, cause })
    }
    replaced = now
  }

  async function addSlot(): Promise<void> {
    const at = clock.now()
    addReplaced(at)
    const cpuShare = takeCpuShare()
    const last = {
      firstResponseMs: slotAnswers.read(),
      queueWaitMs: slotWaits.read(),
      eventLoopDelayMs: loopDelay.take().p99,
    }
    slotAnswers = ofSlot()
    slotWaits = ofSlot()
    // Without an answer there is no row: the store is not open yet, or out of reach.
    const counts = await store.stats(at).catch(() => null)
    if (counts === null) return
    const { accepted, final } = counts.conservation
    if (before !== null) {
      slots.push({
        at,
        // A retry makes a final job live again.
        accepted: Math.max(0, accepted - before.accepted),
        final: Math.max(0, final - before.final),
        backlog: store.backlog(),
        ...last,
        cpuShare: Number(cpuShare.toFixed(3)),
      })
    }
    if (slots.length > keptSlots) slots.shift()
    before = { accepted, final }
  }

  function figuresOf(task: string): TaskFigures {
    const known = tasks.get(task)
    if (known !== undefined) return known
    const figures = { wait: ofMinutes(), run: ofMinutes(), failure: ofMinutes(), retry: ofMinutes() }
    tasks.set(task, figures)
    return figures
  }

  return {
    recovered: (jobs) => addEvent({ at: clock.now(), kind: 'recovered', count: jobs }),
    answered(tookMs) {
      answers.record(tookMs)
      slotAnswers.record(tookMs)
    },
    attemptStarted(job) {
      const { runId, jobIndex, task, thread, attempt } = job
      running.set(job, { thread, runId, jobIndex, task, attempt, startedAt: clock.now() })
    },
    attemptEnded({ job, outcome, tookMs, isFinal }) {
      running.delete(job)
      if (outcome === 'released' || (!outcome.ok && outcome.error.code === 'cancelled')) return
      const figures = figuresOf(job.task)
      figures.run.record(tookMs)
      if (job.thread !== 'main') {
        figures.wait.record(job.waitedMs)
        waits.record(job.waitedMs)
        slotWaits.record(job.waitedMs)
      }
      if (outcome.ok) return
      if (isFinal) figures.failure.record(tookMs)
      else figures.retry.record(tookMs)
    },
    read: () => ({
      windowMs: windowMinutes * minuteMs,
      firstResponseMs: answers.read(),
      queueWaitMs: waits.read(),
      running: [...running.values()].slice(0, maxShown),
      tasks: [...tasks]
        .map(([name, figures]) => taskOf(name, figures))
        .toSorted((a, b) => a.name.localeCompare(b.name)),
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

function taskOf(name: string, { wait, run, failure, retry }: TaskFigures): RecentTask {
  const [runMs, failed, retried] = [run.read(), failure.read().count, retry.read().count]
  return { name, completed: runMs.count - failed - retried, failed, retried, waitMs: wait.read(), runMs }
}
