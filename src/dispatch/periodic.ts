/**
 * Periodic work next to the jobs: forgetting old runs, failing expired jobs, warning of unknown tasks, following the clock,
 * publishing progress.
 */
import { jobKey, type JobProgress } from '../domain/claim.ts'
import { type Clock, monotonicClock, type ProcessClock } from '../runtime/clock.ts'
import type { Log } from '../log.ts'
import type { Notifier, Store } from '../store/store.ts'

export interface Periodic {
  start(): void
  /** Resolves when no round is under way. */
  stop(): Promise<void>
}

interface PeriodicOptions {
  /** From the end of a round to the beginning of the next one. */
  readonly pauseMs: number
  readonly round: () => Promise<void> | void
  /** A round has rejected; others follow. */
  readonly onFailed?: (error: unknown) => void
}

function createPeriodic({ pauseMs, round, onFailed = () => {} }: PeriodicOptions): Periodic {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let running: Promise<void> | undefined

  async function begin(): Promise<void> {
    await Promise.resolve(round()).catch(onFailed)
    if (!isStopped) timer = setTimeout(start, pauseMs)
  }

  function start(): void {
    running = begin()
  }

  return {
    start,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await running
    },
  }
}

interface StoreOptions<Verb extends keyof Store> {
  readonly store: Pick<Store, Verb>
  readonly clock: Clock
  readonly log: Log
}

const expiryPauseMs = 1_000

/** Fails jobs that were due for too long without a start. */
export function createExpiry({ store, clock, log }: StoreOptions<'expire'>): Periodic {
  async function expire(): Promise<void> {
    let total = 0
    // In bounded steps, so that other commits get their turn in between.
    for (let expired = 1; expired > 0; total += expired) expired = await store.expire(clock.now())
    if (total > 0) log.info({ runs: total }, 'jobs have expired: they had not started in time')
  }

  const onFailed = (error: unknown): void => log.debug({ err: error }, 'expired jobs could not be failed')
  return createPeriodic({ pauseMs: expiryPauseMs, round: expire, onFailed })
}

export interface PrunerOptions extends StoreOptions<'prune'> {
  /** Milliseconds on a clock that nobody can set. */
  readonly steady?: Clock
  readonly retentionMs: number
}

const batchSize = 200
const maxPruneMs = 60_000
const minPruneMs = 1_000

/** Forgets finished runs whose retention is over, a bounded batch at a time. */
export function createPruner({ store, clock, steady = monotonicClock, log, retentionMs }: PrunerOptions): Periodic {
  // Often enough that a run outlives its retention by little, and never more often than once a second.
  const pauseMs = Math.min(maxPruneMs, Math.max(minPruneMs, retentionMs / 2))
  const aheadMs = clock.now() - steady.now()
  let isStopped = false

  async function prune(): Promise<void> {
    let total = 0
    let pruned = 1
    while (pruned > 0 && !isStopped) {
      // In batches, so that other commits get their turn in between.
      const now = clock.now()
      // A clock that is set forward makes no run older: that cannot be taken back. The store knows whole milliseconds.
      const atMost = Math.floor(Math.min(now, aheadMs + steady.now()))
      pruned = await store.prune(atMost - retentionMs, batchSize, now)
      total += pruned
    }
    if (total > 0) log.debug({ total }, 'forgot runs and idempotency keys whose time is over')
  }

  const onFailed = (error: unknown): void => log.error({ err: error }, 'old runs could not be forgotten; trying again')
  const rounds = createPeriodic({ pauseMs, round: prune, onFailed })
  return {
    start: rounds.start,
    stop() {
      isStopped = true
      return rounds.stop()
    },
  }
}

export interface LinePrunerOptions extends StoreOptions<'pruneLines' | 'pruneMinutes'> {
  readonly logRetentionMs: number
  readonly logMaxBytes: number
  readonly statsRetentionMs: number
}

/** Forgets lines of tasks that are too old or too many, and minutes that are too old. */
export function createLinePruner(options: LinePrunerOptions): Periodic {
  const { store, clock, log, logRetentionMs, logMaxBytes, statsRetentionMs } = options

  async function prune(): Promise<void> {
    // In bounded steps, as above.
    while ((await store.pruneLines(clock.now() - logRetentionMs, logMaxBytes)) > 0);
    while ((await store.pruneMinutes(clock.now() - statsRetentionMs)) > 0);
  }

  const onFailed = (error: unknown): void =>
    log.debug({ err: error }, 'old lines and minutes of tasks could not be forgotten')
  return createPeriodic({ pauseMs: maxPruneMs, round: prune, onFailed })
}

export interface UnknownTaskWatchOptions extends StoreOptions<'stats'> {
  /** Between two looks; default 30 s. */
  readonly pauseMs?: number
}

/** Warns of jobs that wait for a task that no process runs: once for each task, for as long as its jobs wait. */
export function createUnknownTaskWatch(options: UnknownTaskWatchOptions): Periodic {
  const { store, clock, log, pauseMs = 30_000 } = options
  let warned = new Set<string>()

  async function look(): Promise<void> {
    const { unknownTasks } = await store.stats(clock.now())
    const names = Object.keys(unknownTasks)
    const fresh = names.filter((name) => !warned.has(name))
    warned = new Set(names)
    if (fresh.length === 0) return
    const message = 'jobs wait for tasks that no process runs: they run when a process with these tasks starts'
    log.warn({ unknownTasks }, message)
  }

  // Callers of the store see its failure themselves.
  const onFailed = (error: unknown): void => log.debug({ err: error }, 'the waiting jobs could not be looked through')
  return createPeriodic({ pauseMs, round: look, onFailed })
}

export interface ClockWatchOptions extends StoreOptions<'shiftDueTimes'> {
  readonly clock: ProcessClock
  /** The clock has moved. */
  readonly onStepped?: (byMs: number) => void
  /** Due times have moved: what is due next must be looked up. */
  readonly onShifted: () => void
}

const secondMs = 1_000

/** Lets the service's clock follow the system's when that is set, and what waits in the store keep its wait. */
export function createClockWatch({ clock, store, log, onStepped, onShifted }: ClockWatchOptions): Periodic {
  /** What the store has not followed yet. */
  let owedMs = 0
  let isShifting = false

  async function shift(byMs: number): Promise<void> {
    isShifting = true
    owedMs -= byMs
    try {
      await store.shiftDueTimes(byMs)
      onShifted()
    } catch (error) {
      owedMs += byMs
      log.error({ err: error }, 'due times could not follow the clock; trying again')
    } finally {
      isShifting = false
    }
  }

  function round(): void {
    const stepMs = clock.follow()
    if (stepMs !== 0)
      log.warn({ stepMs }, `the system's clock has moved by ${stepMs} ms: jobs that wait keep their wait`)
    owedMs += stepMs
    if (stepMs !== 0) onStepped?.(stepMs)
    // In the same turn: what was asked of the store before has the old time, and what is asked for next has the new one.
    // Not awaited: while the store is slow to follow, the clock is followed all the same.
    if (owedMs !== 0 && !isShifting) void shift(owedMs)
  }

  return createPeriodic({ pauseMs: secondMs, round })
}

export interface ProgressPublisherOptions {
  readonly notifier: Pick<Notifier, 'publishProgress'>
  /** Progress of all jobs that run here. */
  readonly allProgress: () => readonly JobProgress[]
}

/** Unchanged progress is published again every fourth round, for processes that missed it, and before it is forgotten. */
const repeatEvery = 4

/** Publishes the progress of the jobs that run here to other processes, once a second. */
export function createProgressPublisher({ notifier, allProgress }: ProgressPublisherOptions): Periodic {
  let published = new Map<string, string>()
  let rounds = 0

  function round(): void {
    rounds += 1
    const all = allProgress().map((job) => ({ job, key: jobKey(job), text: JSON.stringify(job) }))
    const isRepeat = rounds % repeatEvery === 0
    const changed = all.filter(({ key, text }) => isRepeat || published.get(key) !== text)
    published = new Map(all.map(({ key, text }) => [key, text]))
    if (changed.length > 0) void notifier.publishProgress(changed.map(({ job }) => job))
  }

  return createPeriodic({ pauseMs: secondMs, round })
}
