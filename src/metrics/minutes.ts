/**
 * What each task did in each minute. Each process writes a row for each of these tasks once the minute is over; rows of the
 * same task and minute are summed up when they are read. A process that is killed loses its last minute.
 */
import type { EndedAttempt } from '../dispatch/execute.ts'
import type { ClaimedJob } from '../domain/claim.ts'
import { minuteMs, type MinuteRow } from '../domain/task-history.ts'
import type { Log } from '../log.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import { add, type Buckets, type Quantiles, quantilesOf, record } from './histogram.ts'

/** The counts of jobs that completed or failed, and of attempts that started or are retried. */
interface Counts {
  started: number
  completed: number
  failed: number
  retried: number
}

interface Sums extends Counts {
  readonly waits: Buckets
  readonly runs: Buckets
}

/** `figures` of a row, as JSON: durations by the number of their bucket. */
interface Figures extends Readonly<Counts> {
  readonly waits: Readonly<Record<string, number>>
  readonly runs: Readonly<Record<string, number>>
}

/** What a task did from `at` on, for the length of one step. */
export interface TaskStep extends Readonly<Counts> {
  readonly at: number
  readonly waitMs: Quantiles
  readonly runMs: Quantiles
}

export interface MinuteRecorder {
  start(): void
  attemptStarted(job: Pick<ClaimedJob, 'task'>): void
  attemptEnded(attempt: Pick<EndedAttempt, 'job' | 'outcome' | 'tookMs' | 'isFinal'>): void
  /** The row of the current minute; null if the task has done nothing in it. */
  current(task: string): MinuteRow | null
  /** Writes the rows of the current minute. */
  flush(): Promise<void>
  stop(): void
}

export interface MinuteRecorderOptions {
  readonly store: Pick<Store, 'addMinutes'>
  readonly clock: Clock
  readonly log: Log
  /** 0: nothing is counted or kept. */
  readonly statsRetentionMs: number
}

const newSums = (): Sums => ({ started: 0, completed: 0, failed: 0, retried: 0, waits: new Map(), runs: new Map() })

export function createMinuteRecorder({ store, clock, log, statsRetentionMs }: MinuteRecorderOptions): MinuteRecorder {
  const isOn = statsRetentionMs > 0
  let sumsByTask = new Map<string, Sums>()
  let at = minuteOf(clock.now())
  let timer: NodeJS.Timeout | undefined

  function sumsOf(task: string): Sums {
    const sums = sumsByTask.get(task) ?? newSums()
    sumsByTask.set(task, sums)
    return sums
  }

  async function write(rows: readonly MinuteRow[]): Promise<void> {
    if (rows.length === 0) return
    try {
      await store.addMinutes(rows)
    } catch (error) {
      log.debug({ err: error }, 'what tasks did in a minute could not be kept')
    }
  }

  async function flush(): Promise<void> {
    const rows = [...sumsByTask].map(([task, sums]) => ({ at, task, figures: figuresOf(sums) }))
    sumsByTask = new Map()
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
    attemptEnded(attempt) {
      const end = endOf(attempt)
      if (!isOn || end === null) return
      const { job, tookMs } = attempt
      const sums = sumsOf(job.task)
      sums[end] += 1
      record(sums.runs, tookMs)
      if (job.thread !== 'main') record(sums.waits, job.waitedMs)
    },
    current(task) {
      const sums = sumsByTask.get(task)
      return sums === undefined ? null : { at, task, figures: figuresOf(sums) }
    },
    flush,
    stop: () => clearTimeout(timer),
  }
}

/** @returns null for an attempt that was released or cancelled, which says nothing about its task */
export function endOf({
  outcome,
  isFinal,
}: Pick<EndedAttempt, 'outcome' | 'isFinal'>): 'completed' | 'failed' | 'retried' | null {
  if (outcome === 'released' || (!outcome.ok && outcome.error.code === 'cancelled')) return null
  if (outcome.ok) return 'completed'
  return isFinal ? 'failed' : 'retried'
}

/** Sums up the rows of one task in steps of `stepMs`. Steps without a row are left out. */
export function sumUp(rows: readonly Pick<MinuteRow, 'at' | 'figures'>[], stepMs: number): TaskStep[] {
  const steps = Map.groupBy(rows, ({ at }) => Math.floor(at / stepMs) * stepMs)
  return [...steps]
    .toSorted(([one], [other]) => one - other)
    .map(([at, rowsOfStep]) => {
      const sums = newSums()
      for (const { figures } of rowsOfStep) addFigures(sums, figures)
      const { waits, runs, ...counts } = sums
      return { at, ...counts, waitMs: quantilesOf(waits), runMs: quantilesOf(runs) }
    })
}

function addFigures(sums: Sums, text: string): void {
  // Only this file writes the text.
  const { waits, runs, ...counts } = JSON.parse(text) as Figures
  for (const name of ['started', 'completed', 'failed', 'retried'] as const) sums[name] += counts[name]
  for (const [bucket, count] of Object.entries(waits)) add(sums.waits, Number(bucket), count)
  for (const [bucket, count] of Object.entries(runs)) add(sums.runs, Number(bucket), count)
}

function figuresOf({ waits, runs, ...counts }: Sums): string {
  const figures: Figures = { ...counts, waits: Object.fromEntries(waits), runs: Object.fromEntries(runs) }
  return JSON.stringify(figures)
}

function minuteOf(at: number): number {
  return Math.floor(at / minuteMs) * minuteMs
}
