/**
 * Waits for the next tick of all schedules, and makes its run, or none; a failure is retried. The commit that accepts the
 * run also advances the schedule to its next tick, and succeeds only if no other process has advanced it: a process that
 * dies at any moment leaves the tick either due or done.
 */
import { AppError, messageOf } from '../domain/errors.ts'
import type { NewRun } from '../domain/run/new-run.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import { createAlarm, type ProcessClock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import { afterMissed, afterRefusal, afterRun, type Due, dueOf } from './rules.ts'
import type { Timetable } from './timetable.ts'

export interface Ticker {
  start(): void
  /** A schedule was written: looks for due ticks, and sets the alarm for the next one. */
  wake(): void
  /** The service's clock was moved by this number of milliseconds. */
  clockStepped(byMs: number): void
  /** Resolves when no tick is being handled. */
  stop(): Promise<void>
}

/** `missed`: no process ran at that time; `refused`: the request of the schedule cannot be run any more. */
export type TickOutcome = 'run' | 'missed' | 'refused'

export interface TickerOptions {
  readonly store: Pick<Store, 'changeSchedule' | 'dueSchedules' | 'notifier'>
  readonly intake: Pick<Intake, 'admit'>
  /** Makes the run of a schedule. @throws AppError if its request cannot be run */
  readonly makeRun: (schedule: Schedule) => Promise<NewRun>
  readonly timetableOf: (schedule: Schedule) => Promise<Timetable>
  /** Whether this process handles the ticks of the schedule. */
  readonly isOurs: (schedule: Schedule) => boolean
  readonly clock: ProcessClock
  readonly log: Log
  readonly onTick?: (outcome: TickOutcome) => void
}

/** How long until a tick that could not be handled is tried again. */
const retryMs = 1_000
/** With a shared store, the longest pause between looks: another process may write a schedule whose code only this one has. */
const maxPauseMs = 30_000
/** A step forward of the clock by this much means that the machine slept. The ticks in a smaller one are late, not missed. */
const sleepMs = 60_000

export function createTicker(options: TickerOptions): Ticker {
  const { store, isOurs, clock, log } = options
  const { handle, forget } = createTickHandler(options)
  const isShared = store.notifier !== null
  const alarm = createAlarm(clock, wake)
  /** When the current watch began: at the start of the process, or after a sleep. */
  let startedAt = 0
  let watch: Watch = { ownSince: 0, sharedSince: null }
  let isStarted = false
  let isStopped = false
  let isLookWanted = false
  let looking: Promise<void> | undefined
  let retry: NodeJS.Timeout | undefined
  /** The last logged error code of each schedule, and of the store under the empty name. */
  const loggedCodes = new Map<string, string>()

  function wake(): void {
    if (!isStarted || isStopped) return
    isLookWanted = true
    looking ??= lookWhileWanted().finally(() => {
      looking = undefined
      if (isLookWanted) wake()
    })
  }

  async function lookWhileWanted(): Promise<void> {
    while (isLookWanted && !isStopped) {
      isLookWanted = false
      await look()
    }
  }

  async function look(): Promise<void> {
    clearTimeout(retry)
    try {
      const now = clock.now()
      if (watch.sharedSince === null) await updateSharedSince()
      const { due, nextAt } = await store.dueSchedules(now)
      const results = await Promise.all(due.filter(isOurs).map(handleSafely))
      // A schedule that has advanced may have another due tick.
      if (results.includes('done')) isLookWanted = true
      else if (results.includes('later') || watch.sharedSince === null) lookLater()
      if (!isStopped) alarm.set(isShared ? Math.min(nextAt ?? Infinity, now + maxPauseMs) : nextAt)
      loggedCodes.delete('')
    } catch (error) {
      logFailure('', 'schedules cannot be read', error)
      lookLater()
    }
  }

  async function updateSharedSince(): Promise<void> {
    const since = startedAt
    const sharedSince = store.notifier === null ? since : await store.notifier.watchedSince(since)
    // If the machine slept during the query, the result is about the watch before.
    if (since === startedAt) watch = { ...watch, sharedSince }
  }

  function lookLater(): void {
    if (!isStopped) retry = setTimeout(wake, retryMs)
  }

  async function handleSafely(schedule: Schedule): Promise<Handled> {
    const { name } = schedule
    try {
      const handled = await handle(schedule, watch)
      if (handled === 'done') loggedCodes.delete(name)
      return handled
    } catch (error) {
      logFailure(name, `a tick of the schedule ${name} has to wait`, error)
      return 'later'
    }
  }

  /** Logs the same failure of a schedule once, however often it is retried. */
  function logFailure(name: string, message: string, error: unknown): void {
    const reason = messageOf(error)
    const code = error instanceof AppError ? error.code : reason
    if (isStopped || loggedCodes.get(name) === code) return
    loggedCodes.set(name, code)
    log.warn({ ...(name !== '' && { schedule: name }), err: error }, `${message}: ${reason}; trying again`)
  }

  function startWatch(): void {
    startedAt = clock.now()
    watch = { ownSince: startedAt, sharedSince: null }
  }

  return {
    start() {
      startWatch()
      isStarted = true
      wake()
    },
    wake,
    clockStepped(byMs) {
      if (byMs >= sleepMs) {
        startWatch()
        forget()
      } else {
        // After a step back, this process also watches the ticks from the new time on.
        watch = { ...watch, ownSince: Math.min(watch.ownSince, clock.now()) }
      }
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

/** The instants since which ticks have been watched without a gap. */
interface Watch {
  /** By this process. */
  readonly ownSince: number
  /** By the processes that share the store, one or another; null: not known yet. */
  readonly sharedSince: number | null
}

/** `done`: the schedule has advanced, here or in another process; `later`: the tick must be tried again. */
type Handled = 'done' | 'later'

/** With a shared store, how long a tick that this process would miss or refuse is left to processes that may run it. */
const takeoverMs = 15_000

function createTickHandler(options: TickerOptions) {
  const { store, intake, makeRun, timetableOf, clock, log, onTick } = options
  const isShared = store.notifier !== null
  /** First missed tick of each schedule that made a run. Those after it count as chosen: `dueOf` must not choose again. */
  const firstChosen = new Map<string, number>()

  /** @returns the instant before which ticks of the schedule were missed; null: not known yet for the tick that is due */
  function missedBeforeOf({ nextAt, isDeclared }: Schedule, { ownSince, sharedSince }: Watch): number | null {
    if (nextAt === null || nextAt >= ownSince) return ownSince
    if (sharedSince === null) return null
    if (!isDeclared) return Math.min(ownSince, sharedSince)
    // The processes that watched before this one may have the code that declares it: they get time to handle the tick.
    const mayBeHandled = sharedSince < ownSince && clock.now() - ownSince < takeoverMs
    return mayBeHandled ? null : ownSince
  }

  /** @throws AppError if the store fails, or the backlog is full */
  async function handle(schedule: Schedule, watch: Watch): Promise<Handled> {
    const { name } = schedule
    const missedBefore = missedBeforeOf(schedule, watch)
    if (missedBefore === null) return 'later'
    const timetable = await timetableOf(schedule)
    const due = dueOf(schedule, timetable, Math.min(missedBefore, firstChosen.get(name) ?? Infinity))
    if (due === null) return 'done'
    const { tick } = due
    if (tick === null) return miss(schedule, due)
    let run: NewRun
    try {
      run = await makeRun(schedule)
    } catch (error) {
      return giveUp(schedule, due, tick, error)
    }
    const accept = (): Promise<boolean> => change(schedule, afterRun(schedule, due, run.id), run)
    if (!(await intake.admit(run.jobs.length, accept))) return 'done'
    if (tick >= missedBefore) firstChosen.delete(name)
    else if (!firstChosen.has(name)) firstChosen.set(name, tick)
    onTick?.('run')
    logRun(schedule, tick, run)
    logClockChange(schedule, tick, timetable)
    return 'done'
  }

  /** Advances the schedule past ticks that make no run. */
  async function miss(schedule: Schedule, due: Due): Promise<Handled> {
    const { name, nextAt: firstMissed } = schedule
    if (isLeftToOthers(firstMissed)) return 'later'
    if (await change(schedule, afterMissed(schedule, due), null)) {
      log.info(
        { schedule: name, since: iso(firstMissed) },
        `ticks of the schedule ${name} were missed: they make no run`,
      )
      onTick?.('missed')
    }
    return 'done'
  }

  /** The tick will not be retried: the schedule advances, and keeps the reason as its `problem`. */
  async function giveUp(schedule: Schedule, due: Due, tick: number, error: unknown): Promise<Handled> {
    const { name } = schedule
    if (isLeftToOthers(tick)) return 'later'
    const code = error instanceof AppError ? error.code : 'internal'
    const detail = messageOf(error)
    if (await change(schedule, afterRefusal(schedule, due, { at: tick, code, detail }), null)) {
      const fields = { schedule: name, tick: iso(tick), err: error }
      log.error(fields, `a tick of the schedule ${name} makes no run: ${detail}`)
      onTick?.('refused')
    }
    return 'done'
  }

  async function change(schedule: Schedule, to: Schedule, run: NewRun | null): Promise<boolean> {
    const { name, revision } = schedule
    return (await store.changeSchedule({ name, from: revision, to, run }, clock.now())) === 'changed'
  }

  function isLeftToOthers(tick: number | null): boolean {
    return isShared && tick !== null && clock.now() - tick < takeoverMs
  }

  function logRun({ name, nextAt: firstDue }: Schedule, tick: number, { id }: NewRun): void {
    const fields = { schedule: name, tick: iso(tick), runId: id }
    log.debug(fields, `a tick of the schedule ${name} has made its run`)
    if (firstDue === tick) return
    const message = `ticks of the schedule ${name} were missed: those before this one make no run`
    log.info({ ...fields, since: iso(firstDue) }, message)
  }

  function logClockChange({ name, timeZone }: Schedule, tick: number, timetable: Timetable): void {
    const clockChange = timetable.changeAt(tick)
    if (clockChange === null) return
    const what =
      clockChange === 'skipped'
        ? 'skip the local time of this tick: it has made its run at the moment of the change'
        : 'repeat the local time of this tick: it has made its run the first time, and makes no second one'
    log.info({ schedule: name, tick: iso(tick), timeZone, clockChange }, `the clocks of ${timeZone} ${what}`)
  }

  return {
    handle,
    /** Ticks were missed during a sleep, so earlier decisions about missed ticks are void. */
    forget: (): void => firstChosen.clear(),
  }
}

function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
