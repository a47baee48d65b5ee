/** Waits for the next tick of all schedules, and has it dealt with; what cannot be dealt with yet is tried again. */
import { createAlarm, type ProcessClock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { Store } from '../store/store.ts'
import { createDeal, type DealOptions } from './deal.ts'

export interface Ticker {
  start(): void
  /** A schedule was written: looks for what is due, and for when the next tick is. */
  wake(): void
  /** The service's clock was moved by this number of milliseconds. */
  clockStepped(byMs: number): void
  /** Resolves when no tick is under way. */
  stop(): Promise<void>
}

export interface TickerOptions extends DealOptions {
  readonly store: DealOptions['store'] & Pick<Store, 'dueSchedules'>
  /** Whether the ticks of the schedule are this process's to deal with. */
  readonly isOurs: (schedule: Schedule) => boolean
  readonly clock: ProcessClock
}

/** Until a tick that cannot be dealt with now is tried again. */
const retryMs = 1_000
/** Until schedules are seen that other processes have written, and do not get to deal with. */
const lookMs = 30_000
/** A clock that is set forward by less is one that is kept right: the ticks in between have not been missed. */
const sleepMs = 60_000

export function createTicker(options: TickerOptions): Ticker {
  const { store, isOurs, clock, log } = options
  const { deal, forget } = createDeal(options)
  const isShared = store.notifier !== null
  const alarm = createAlarm(clock, wake)
  /** Since when this process has been there to deal with ticks. */
  let watchedSince = 0
  let isStarted = false
  let isStopped = false
  let isWanted = false
  let looking: Promise<void> | undefined
  let retry: NodeJS.Timeout | undefined
  /** By schedule, why its tick waits, as it was logged. */
  const troubles = new Map<string, string>()

  function wake(): void {
    if (!isStarted || isStopped) return
    isWanted = true
    looking ??= lookAgain().finally(() => {
      looking = undefined
      if (isWanted) wake()
    })
  }

  async function lookAgain(): Promise<void> {
    while (isWanted && !isStopped) {
      isWanted = false
      await look()
    }
  }

  async function look(): Promise<void> {
    clearTimeout(retry)
    try {
      const now = clock.now()
      const { due, nextAt } = await store.dueSchedules(now)
      const dealt = await Promise.all(due.filter(isOurs).map(attempt))
      // It may have another tick that is due.
      if (dealt.includes(true)) isWanted = true
      else if (dealt.includes(false)) lookLater()
      if (!isStopped) alarm.set(isShared ? Math.min(nextAt ?? Infinity, now + lookMs) : nextAt)
      troubles.delete('')
    } catch (error) {
      noteTrouble('', 'schedules cannot be read', error)
      lookLater()
    }
  }

  function lookLater(): void {
    if (!isStopped) retry = setTimeout(wake, retryMs)
  }

  /** @returns whether something has become of the tick */
  async function attempt(schedule: Schedule): Promise<boolean> {
    const { name } = schedule
    try {
      const isDone = await deal(schedule, watchedSince)
      if (isDone) troubles.delete(name)
      return isDone
    } catch (error) {
      noteTrouble(name, `a tick of the schedule ${name} has to wait`, error)
      return false
    }
  }

  function noteTrouble(name: string, message: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error)
    const code = error instanceof AppError ? error.code : reason
    if (isStopped || troubles.get(name) === code) return
    troubles.set(name, code)
    log.warn({ ...(name !== '' && { schedule: name }), err: error }, `${message}: ${reason}; trying again`)
  }

  return {
    start() {
      watchedSince = clock.now()
      isStarted = true
      wake()
    },
    wake,
    clockStepped(byMs) {
      const now = clock.now()
      // While the machine slept no process ran.
      if (byMs >= sleepMs) {
        watchedSince = now
        forget()
      } else watchedSince = Math.min(watchedSince, now)
      wake()
    },
    async stop() {
      isStopped = true
      clearTimeout(retry)
      alarm.set(null)
      await looking
    },
  }
}
