/**
 * Waits for the next tick of all schedules, and makes its run, or none; what fails is tried again. The commit that accepts the
 * run also goes on to the next tick, and takes place only if no other process has done so: a process that dies at any moment
 * leaves a tick due, or done.
 */
import { AppError, messageOf } from '../domain/errors.ts'
import type { NewRun } from '../domain/run/new-run.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import { createAlarm, type ProcessClock } from '../runtime/clock.ts'
import type { Store } from '../store/store.ts'
import { type Due, dueOf, passed, ticked } from './rules.ts'
import type { Timetable } from './timetable.ts'

export interface Ticker {
  start(): void
  /** A schedule was written: looks for what is due, and for when the next tick is. */
  wake(): void
  /** The service's clock was moved by this number of milliseconds. */
  clockStepped(byMs: number): void
  /** Resolves when no tick is under way. */
  stop(): Promise<void>
}

/** `missed`: no process ran; `refused`: its request cannot be run any more. */
export type TickOutcome = 'run' | 'missed' | 'refused'

export interface TickerOptions {
  readonly store: Pick<Store, 'changeSchedule' | 'dueSchedules' | 'notifier'>
  readonly intake: Pick<Intake, 'admit'>
  /** The run of a schedule. @throws AppError where its request cannot be run */
  readonly prepare: (schedule: Schedule) => Promise<NewRun>
  readonly timetableOf: (schedule: Schedule) => Promise<Timetable>
  /** Whether this process handles the ticks of the schedule. */
  readonly isOurs: (schedule: Schedule) => boolean
  readonly clock: ProcessClock
  readonly log: Log
  readonly onTick?: (outcome: TickOutcome) => void
}

/** Until a tick that cannot be handled now is tried again. */
const retryMs = 1_000
/** Until schedules are seen that other processes have written, and do not handle. */
const lookMs = 30_000
/** A clock that is set forward by less is one that is kept right: the ticks in between have not been missed. */
const sleepMs = 60_000

export function createTicker(options: TickerOptions): Ticker {
  const { store, isOurs, clock, log } = options
  const { handle, forget } = createTickHandler(options)
  const isShared = store.notifier !== null
  const alarm = createAlarm(clock, wake)
  /** Since when this process has handled ticks. */
  let watchedSince = 0
  /** When it began to, at its start or after a sleep. */
  let beganAt = 0
  /** Since when one process or another has handled ticks; null while that is not known. */
  let sharedSince: number | null = null
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
      sharedSince ??= store.notifier === null ? beganAt : await store.notifier.watchedSince(beganAt)
      const { due, nextAt } = await store.dueSchedules(now)
      const handled = await Promise.all(due.filter(isOurs).map(attempt))
      // It may have another tick that is due.
      if (handled.includes(true)) isWanted = true
      else if (handled.includes(false) || sharedSince === null) lookLater()
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
      const isDone = await handle(schedule, { watchedSince, sharedSince })
      if (isDone) troubles.delete(name)
      return isDone
    } catch (error) {
      noteTrouble(name, `a tick of the schedule ${name} has to wait`, error)
      return false
    }
  }

  function noteTrouble(name: string, message: string, error: unknown): void {
    const reason = messageOf(error)
    const code = error instanceof AppError ? error.code : reason
    if (isStopped || troubles.get(name) === code) return
    troubles.set(name, code)
    log.warn({ ...(name !== '' && { schedule: name }), err: error }, `${message}: ${reason}; trying again`)
  }

  function beginToWatch(): void {
    beganAt = clock.now()
    watchedSince = beganAt
    sharedSince = null
  }

  return {
    start() {
      beginToWatch()
      isStarted = true
      wake()
    },
    wake,
    clockStepped(byMs) {
      // While the machine slept no process ran here.
      if (byMs >= sleepMs) {
        beginToWatch()
        forget()
      } else watchedSince = Math.min(watchedSince, clock.now())
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

/** Since when processes have handled ticks. */
interface Watched {
  /** This one. */
  readonly watchedSince: number
  /** One or another of those that share the store; null while that is not known. */
  readonly sharedSince: number | null
}

interface TickHandler {
  /**
   * @returns whether something has become of the tick; else it is to be tried again
   * @throws where the store fails, or the backlog is full
   */
  handle(schedule: Schedule, watched: Watched): Promise<boolean>
  /** Ticks have been missed: what was decided of earlier ones is void. */
  forget(): void
}

/** How long a tick that this process would miss or refuse is left to the others, which may be able to run it. */
const takeoverMs = 15_000

function createTickHandler(options: TickerOptions): TickHandler {
  const { store, intake, prepare, timetableOf, clock, log, onTick } = options
  const isShared = store.notifier !== null
  /** By schedule, the first of many missed ticks that each make a run. */
  const owedSince = new Map<string, number>()

  /** @returns the instant before which its ticks were missed; null while it is not known whether the due one was */
  function missedBeforeOf({ nextAt, isDeclared }: Schedule, { watchedSince, sharedSince }: Watched): number | null {
    if (nextAt === null || nextAt >= watchedSince) return watchedSince
    if (sharedSince === null) return null
    if (!isDeclared) return Math.min(watchedSince, sharedSince)
    // Not all processes need to have its code: those that do have the time to handle it.
    return sharedSince < watchedSince && clock.now() - watchedSince < takeoverMs ? null : watchedSince
  }

  async function handle(schedule: Schedule, watched: Watched): Promise<boolean> {
    const { name, nextAt } = schedule
    const missedBefore = missedBeforeOf(schedule, watched)
    if (missedBefore === null) return false
    const timetable = await timetableOf(schedule)
    const due = dueOf(schedule, timetable, Math.min(missedBefore, owedSince.get(name) ?? missedBefore))
    if (due === null) return true
    const { tick } = due
    if (tick === null) return miss(schedule, due)
    let run: NewRun
    try {
      run = await prepare(schedule)
    } catch (error) {
      return refuse(schedule, due, tick, error)
    }
    const accept = (): Promise<boolean> => change(schedule, ticked(schedule, due, run.id), run)
    if (!(await intake.admit(run.jobs.length, accept))) return true
    if (tick < missedBefore) owedSince.set(name, owedSince.get(name) ?? tick)
    else owedSince.delete(name)
    onTick?.('run')
    log.debug({ schedule: name, tick: iso(tick), runId: run.id }, `a tick of the schedule ${name} has made its run`)
    if (nextAt !== tick) {
      const message = `ticks of the schedule ${name} were missed: those before this one make no run`
      log.info({ schedule: name, since: iso(nextAt), tick: iso(tick), runId: run.id }, message)
    }
    logClockChange(schedule, tick, timetable)
    return true
  }

  /** Passes over ticks that make no run. */
  async function miss(schedule: Schedule, due: Due): Promise<boolean> {
    const { name, nextAt } = schedule
    if (isLeftToOthers(nextAt)) return false
    if (await change(schedule, passed(schedule, due, null), null)) {
      log.info({ schedule: name, since: iso(nextAt) }, `ticks of the schedule ${name} were missed: they make no run`)
      onTick?.('missed')
    }
    return true
  }

  /** Nothing is owed for such a tick: the schedule says why, and goes on. */
  async function refuse(schedule: Schedule, due: Due, tick: number, error: unknown): Promise<boolean> {
    const { name } = schedule
    if (isLeftToOthers(tick)) return false
    const code = error instanceof AppError ? error.code : 'internal'
    const detail = messageOf(error)
    if (await change(schedule, passed(schedule, due, { at: tick, code, detail }), null)) {
      log.error(
        { schedule: name, tick: iso(tick), err: error },
        `a tick of the schedule ${name} makes no run: ${detail}`,
      )
      onTick?.('refused')
    }
    return true
  }

  async function change(schedule: Schedule, to: Schedule, run: NewRun | null): Promise<boolean> {
    const { name, revision } = schedule
    return (await store.changeSchedule({ name, from: revision, to, run }, clock.now())) === 'changed'
  }

  function isLeftToOthers(tick: number | null): boolean {
    return isShared && tick !== null && clock.now() - tick < takeoverMs
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

  return { handle, forget: () => owedSince.clear() }
}

/** For people. */
function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
