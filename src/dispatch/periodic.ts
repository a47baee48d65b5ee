/** Periodic work: pruning old data, failing expired jobs, warning of unknown tasks, following the clock, publishing progress. */
import { jobKey, type JobProgress } from '../domain/claim.ts'
import { type Clock, monotonicClock, type ProcessClock } from '../runtime/clock.ts'
import type { Log } from '../log.ts'
import type { Notifier, Store } from '../store/store.ts'

export interface Periodic {
  start(): void
  /** Resolves when no round is running. */
  stop(): Promise<void>
}

interface PeriodicOptions {
  /** From the end of a round to the start of the next one. */
  readonly pauseMs: number
  readonly round: (isStopped: () => boolean) => Promise<void> | void
  /** Called when a round throws or rejects; further rounds follow. Absent: no round fails. */
  readonly onFailed?: (error: unknown) => void
}

export function createPeriodic({ pauseMs, round, onFailed }: PeriodicOptions): Periodic {
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let running: Promise<void> | undefined

  async function runRound(): Promise<void> {
    try {
      await round(() => isStopped)
    } catch (error) {
      if (onFailed === undefined) throw error
      onFailed(error)
    }
    if (!isStopped) timer = setTimeout(start, pauseMs)
  }

  function start(): void {
    running = runRound()
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

/** Repeats a call that does a bounded part of the work, so that other commits can come in between. @returns the sum */
async function repeatUntilNone(callStore: () => Promise<number>): Promise<number> {
  let total = 0
  for (let count = await callStore(); count > 0; count = await callStore()) total += count
  return total
}

const secondMs = 1_000

interface StoreOptions<Verb extends keyof Store> {
  readonly store: Pick<Store, Verb>
  readonly clock: Clock
  readonly log: Log
}

/** Fails jobs that have been due for too long. The store counts their runs. */
export function createExpiry({ store, clock, log }: StoreOptions<'expire'>): Periodic {
  async function expire(): Promise<void> {
    const runs = await repeatUntilNone(() => store.expire(clock.now()))
    if (runs > 0) log.info({ runs }, 'runs have expired jobs, which had not started in time')
  }

  return createPeriodic({
    pauseMs: secondMs,
    round: expire,
    onFailed: (error) => log.debug({ err: error }, 'expired jobs could not be failed'),
  })
}

interface PrunerOptions extends StoreOptions<'prune'> {
  /** A monotonic clock. */
  readonly steady?: Clock
  readonly retentionMs: number
}

const batchSize = 200
const maxPrunePauseMs = 60_000

/** Removes finished runs whose retention is over. */
export function createPruner({ store, clock, steady = monotonicClock, log, retentionMs }: PrunerOptions): Periodic {
  // A run outlives its retention by a second to a minute.
  const pauseMs = Math.min(maxPrunePauseMs, Math.max(secondMs, retentionMs / 2))
  const aheadMs = clock.now() - steady.now()

  async function prune(isStopped: () => boolean): Promise<void> {
    const total = await repeatUntilNone(async () => {
      if (isStopped()) return 0
      const now = clock.now()
      // Setting the clock forward must not age runs: a removal cannot be undone. The store takes whole milliseconds.
      const steadyNow = Math.floor(Math.min(now, aheadMs + steady.now()))
      return store.prune(steadyNow - retentionMs, batchSize, now)
    })
    if (total > 0) log.debug({ total }, 'forgot runs and idempotency keys whose time is over')
  }

  const onFailed = (error: unknown): void => log.error({ err: error }, 'old runs could not be forgotten; trying again')
  return createPeriodic({ pauseMs, round: prune, onFailed })
}

interface LinePrunerOptions extends StoreOptions<'pruneLines' | 'pruneMinutes'> {
  readonly logRetentionMs: number
  readonly logMaxBytes: number
  readonly statsRetentionMs: number
}

/** Removes logged lines that are too old or too many, and figures of minutes that are too old. */
export function createLinePruner(options: LinePrunerOptions): Periodic {
  const { store, clock, log, logRetentionMs, logMaxBytes, statsRetentionMs } = options

  async function prune(): Promise<void> {
    await repeatUntilNone(() => store.pruneLines(clock.now() - logRetentionMs, logMaxBytes))
    await repeatUntilNone(() => store.pruneMinutes(clock.now() - statsRetentionMs))
  }

  const onFailed = (error: unknown): void =>
    log.debug({ err: error }, 'old lines and minutes of tasks could not be forgotten')
  return createPeriodic({ pauseMs: maxPrunePauseMs, round: prune, onFailed })
}

interface UnknownTaskWatchOptions extends StoreOptions<'stats'> {
  /** Between two looks; default 30 s. */
  readonly pauseMs?: number
}

/** Warns once of each task that jobs wait for and that no process runs. A task is new again once no job waits for it. */
export function createUnknownTaskWatch(options: UnknownTaskWatchOptions): Periodic {
  const { store, clock, log, pauseMs = 30_000 } = options
  let warned = new Set<string>()

  async function look(): Promise<void> {
    const { unknownTasks } = await store.stats(clock.now())
    const names = Object.keys(unknownTasks)
    const hasNew = names.some((name) => !warned.has(name))
    warned = new Set(names)
    if (!hasNew) return
    const message = 'jobs wait for tasks that no process runs: they run when a process with these tasks starts'
    log.warn({ unknownTasks }, message)
  }

  // Not worth a warning: other callers of the store report its failure.
  const onFailed = (error: unknown): void => log.debug({ err: error }, 'the waiting jobs could not be looked through')
  return createPeriodic({ pauseMs, round: look, onFailed })
}

interface ClockWatchOptions extends StoreOptions<'shiftDueTimes'> {
  readonly clock: ProcessClock
  /** Called when the service's clock has moved. */
  readonly onStepped?: (byMs: number) => void
  /** Called when due times have moved, so that another job can be due next. */
  readonly onShifted: () => void
}

/** Makes the service's clock follow the system's when that is set, and moves due times in the store by the same step. */
export function createClockWatch({ clock, store, log, onStepped, onShifted }: ClockWatchOptions): Periodic {
  /** Steps of the clock that the due times have not followed yet. */
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
    if (stepMs !== 0) {
      log.warn({ stepMs }, `the system's clock has moved by ${stepMs} ms: jobs that wait keep their wait`)
      onStepped?.(stepMs)
    }
    owedMs += stepMs
    // In the same turn, so that earlier verbs carry the old time and later verbs the new one. Not awaited: a slow store
    // must not keep this clock from following.
    if (owedMs !== 0 && !isShifting) void shift(owedMs)
  }

  return createPeriodic({ pauseMs: secondMs, round })
}

interface ProgressPublisherOptions {
  readonly notifier: Pick<Notifier, 'publishProgress'>
  readonly allProgress: () => readonly JobProgress[]
}

/** Unchanged progress is published again every fourth round, for processes that missed it and before it expires there. */
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
