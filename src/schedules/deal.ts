/**
 * What becomes of one due tick: its run, or none. The commit that accepts the run also goes on to the next tick, and takes
 * place only if no other process has done so: a process that dies at any moment leaves a tick due, or done.
 */
import type { Clock } from '../runtime/clock.ts'
import { AppError } from '../domain/errors.ts'
import type { NewRun } from '../domain/run/new-run.ts'
import type { Schedule } from '../domain/schedule.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { dueOf, passed, ticked, type Due } from './rules.ts'
import type { Timetable } from './timetable.ts'

/** `missed`: no process ran; `refused`: its request cannot be run any more. */
export type TickOutcome = 'run' | 'missed' | 'refused'

export interface DealOptions {
  readonly store: Pick<Store, 'changeSchedule' | 'notifier'>
  readonly intake: Pick<Intake, 'admit'>
  /** The run of a schedule. @throws AppError where its request cannot be run */
  readonly prepare: (schedule: Schedule) => Promise<NewRun>
  readonly timetableOf: (schedule: Schedule) => Promise<Timetable>
  readonly clock: Clock
  readonly log: Log
  readonly onTick?: (outcome: TickOutcome) => void
}

export interface Deal {
  /**
   * @param watchedSince since when this process has been there to deal with ticks
   * @returns whether something has become of the tick; else it is to be tried again
   * @throws where the store fails, or the backlog is full
   */
  deal(schedule: Schedule, watchedSince: number): Promise<boolean>
  /** Ticks have been missed: what was decided of earlier ones is void. */
  forget(): void
}

/** Until what this process would not run is taken for missed, or refused: another one may know better. */
const takeoverMs = 15_000

export function createDeal(options: DealOptions): Deal {
  const { store, intake, prepare, timetableOf, clock, log, onTick } = options
  const isShared = store.notifier !== null
  /** By schedule, the first of many missed ticks that each make a run. */
  const owedSince = new Map<string, number>()

  async function deal(schedule: Schedule, watchedSince: number): Promise<boolean> {
    const { name, nextAt } = schedule
    const timetable = await timetableOf(schedule)
    const due = dueOf(schedule, timetable, Math.min(watchedSince, owedSince.get(name) ?? watchedSince))
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
    if (tick < watchedSince) owedSince.set(name, owedSince.get(name) ?? tick)
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
    const detail = error instanceof Error ? error.message : String(error)
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

  return { deal, forget: () => owedSince.clear() }
}

/** For people. */
function iso(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString()
}
