/**
 * What each task did in each minute, for the store to keep: added up here, and written once a minute some time after the
 * commits. What the last minute had is lost when the process is killed.
 */
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob } from '../domain/claim.ts'
import { minuteMs, type MinuteRow } from '../domain/task-history.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import { bucketOf, quantilesOf, type Quantiles } from './sliding-histogram.ts'

/** As JSON in the store; lengths of time by bucket of the histogram. */
interface Figures {
  readonly started: number
  readonly completed: number
  readonly failed: number
  readonly retried: number
  readonly waits: Readonly<Record<string, number>>
  readonly runs: Readonly<Record<string, number>>
}

/** What was done in one step of time. */
export interface TaskMinutes extends Pick<Figures, 'started' | 'completed' | 'failed' | 'retried'> {
  readonly at: number
  readonly waitMs: Quantiles
  readonly runMs: Quantiles
}

export interface MinuteRecorder {
  start(): void
  attemptStarted(job: Pick<ClaimedJob, 'task'>): void
  attemptEnded(attempt: Pick<EndedAttempt, 'job' | 'outcome' | 'tookMs' | 'isFinal'>): void
  /** Of the minute that is not over; null where there is nothing. */
  current(task: string): MinuteRow | null
  /** Writes what there is. */
  flush(): Promise<void>
  stop(): void
}

export interface MinuteRecorderOptions {
  readonly store: Pick<Store, 'addMinutes'>
  readonly clock: Clock
  readonly log: Log
  /** 0: nothing is kept. */
  readonly statsRetentionMs: number
}

type Sums = {
  -readonly [Name in keyof Figures]: Figures[Name] extends number ? number : Map<number, number>
}

const newSums = (): Sums => ({ started: 0, completed: 0, failed: 0, retried: 0, waits: new Map(), runs: new Map() })

export function createMinuteRecorder({ store, clock, log, statsRetentionMs }: MinuteRecorderOptions): MinuteRecorder {
  const isOn = statsRetentionMs > 0
  let sums = new Map<string, Sums>()
  let at = minuteOf(clock.now())
  let timer: NodeJS.Timeout | undefined

  function sumsOf(task: string): Sums {
    const known = sums.get(task) ?? newSums()
    sums.set(task, known)
    return known
  }

  async function write(rows: readonly MinuteRow[]): Promise<void> {
    if (rows.length === 0 || !isOn) return
    try {
      await store.addMinutes(rows)
    } catch (error) {
      log.debug({ err: error }, 'what tasks did in a minute could not be kept')
    }
  }

  async function flush(): Promise<void> {
    const rows = [...sums].map(([task, of]) => ({ at, task, figures: figuresOf(of) }))
    sums = new Map()
    at = minuteOf(clock.now())
    await write(rows)
  }

  function schedule(): void {
    const now = clock.now()
    timer = setTimeout(() => void flush().finally(schedule), minuteOf(now) + minuteMs - now).unref()
  }

  return {
    start() {
      if (!isOn) return
      void write([{ at: clock.now(), task: '', figures: '{}' }])
      schedule()
    },
    attemptStarted({ task }) {
      if (isOn) sumsOf(task).started += 1
    },
    attemptEnded({ job, outcome, tookMs, isFinal }) {
      if (!isOn || outcome === 'released' || (!outcome.ok && outcome.error.code === 'cancelled')) return
      const of = sumsOf(job.task)
      if (outcome.ok) of.completed += 1
      else if (isFinal) of.failed += 1
      else of.retried += 1
      addTo(of.runs, tookMs)
      if (job.thread !== 'main') addTo(of.waits, job.waitedMs)
    },
    current(task) {
      const of = sums.get(task)
      return of === undefined ? null : { at, task, figures: figuresOf(of) }
    },
    flush,
    stop: () => clearTimeout(timer),
  }
}

/** Adds the rows of one task up in steps of `stepMs`; empty steps are left out. */
export function addUp(rows: readonly Pick<MinuteRow, 'at' | 'figures'>[], stepMs: number): TaskMinutes[] {
  const steps = Map.groupBy(rows, ({ at }) => Math.floor(at / stepMs) * stepMs)
  return [...steps]
    .toSorted(([one], [other]) => one - other)
    .map(([at, ofStep]) => {
      const sum = newSums()
      for (const { figures } of ofStep) {
        // It was written here.
        const { waits, runs, ...counts } = JSON.parse(figures) as Figures
        for (const name of ['started', 'completed', 'failed', 'retried'] as const) sum[name] += counts[name]
        for (const [bucket, n] of Object.entries(waits)) add(sum.waits, Number(bucket), n)
        for (const [bucket, n] of Object.entries(runs)) add(sum.runs, Number(bucket), n)
      }
      const { waits, runs, ...counts } = sum
      return { at, ...counts, waitMs: quantilesOf(waits), runMs: quantilesOf(runs) }
    })
}

function minuteOf(at: number): number {
  return Math.floor(at / minuteMs) * minuteMs
}

function addTo(buckets: Map<number, number>, ms: number): void {
  add(buckets, bucketOf(ms), 1)
}

function add(buckets: Map<number, number>, bucket: number, n: number): void {
  buckets.set(bucket, (buckets.get(bucket) ?? 0) + n)
}

function figuresOf({ waits, runs, ...counts }: Sums): string {
  return JSON.stringify({ ...counts, waits: Object.fromEntries(waits), runs: Object.fromEntries(runs) })
}
