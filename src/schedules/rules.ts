/** How a schedule changes when it is put, paused and resumed, and with each of its ticks. Pure. */
import { randomUUID } from 'node:crypto'
import type { Schedule, ScheduleDefinition, ScheduleProblem } from '../domain/schedule.ts'
import type { Timetable } from './timetable.ts'

/** Missed ticks of a schedule that each make a run; earlier ones make none. */
const maxMissed = 100

export interface PutSchedule extends ScheduleDefinition {
  readonly name: string
  readonly isDeclared: boolean
  readonly isPaused: boolean
}

/**
 * A due tick stays due unless the pattern or the time zone changes. The problem is cleared: the old request may have caused it.
 * @param before null: there is no schedule of this name
 */
export function put(before: Schedule | null, schedule: PutSchedule, timetable: Timetable, now: number): Schedule {
  const isSameTime = before?.cron === schedule.cron && before.timeZone === schedule.timeZone
  const nextAt = isSameTime && !before.isPaused ? before.nextAt : timetable.next(now)
  return {
    ...schedule,
    lastAt: before?.lastAt ?? null,
    lastRunId: before?.lastRunId ?? null,
    problem: null,
    revision: randomUUID(),
    nextAt: schedule.isPaused ? null : nextAt,
  }
}

/** @returns the same object if the schedule is paused already */
export function pause(schedule: Schedule): Schedule {
  return schedule.isPaused ? schedule : written(schedule, { isPaused: true, nextAt: null })
}

/** Ticks during the pause make no run, and were not missed. @returns the same object if the schedule is not paused */
export function resume(schedule: Schedule, timetable: Timetable, now: number): Schedule {
  return schedule.isPaused ? written(schedule, { isPaused: false, nextAt: timetable.next(now) }) : schedule
}

/** What happens with a due tick. */
export interface Due {
  /** The tick that makes a run; null: none does, the schedule only advances. */
  readonly tick: number | null
  /** The tick after that; null: there is none. */
  readonly following: number | null
}

/**
 * @param missedBefore ticks before this instant were missed, and `missed` chooses those that make a run; each later tick
 *   makes its run, however late it is
 * @returns null if the schedule is paused or has no further tick
 */
export function dueOf({ nextAt, missed }: Schedule, timetable: Timetable, missedBefore: number): Due | null {
  if (nextAt === null) return null
  const runOf = (tick: number): Due => ({ tick, following: timetable.next(tick) })
  if (nextAt >= missedBefore) return runOf(nextAt)
  if (missed === 'skip') return { tick: null, following: timetable.next(missedBefore - 1) }
  const [first = nextAt] = timetable.last(nextAt - 1, missedBefore - 1, missed === 'one' ? 1 : maxMissed)
  return runOf(first)
}

/** After a tick that made a run. */
export function afterRun(schedule: Schedule, { tick, following }: Due, runId: string): Schedule {
  return written(schedule, { nextAt: following, lastAt: tick, lastRunId: runId, problem: null })
}

/** After missed ticks that make no run. */
export function afterMissed(schedule: Schedule, { following }: Due): Schedule {
  return written(schedule, { nextAt: following })
}

/** After a tick whose request was refused. */
export function afterRefusal(schedule: Schedule, { following }: Due, problem: ScheduleProblem): Schedule {
  return written(schedule, { nextAt: following, problem })
}

function written(schedule: Schedule, members: Partial<Schedule>): Schedule {
  return { ...schedule, ...members, revision: randomUUID() }
}
