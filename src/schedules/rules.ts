/** What becomes of a schedule: when it is put, paused and resumed, and with each of its ticks. Pure. */
import { randomUUID } from 'node:crypto'
import type { Schedule, ScheduleDefinition, ScheduleProblem } from '../domain/schedule.ts'
import type { Timetable } from './timetable.ts'

/** Runs that are made for ticks which passed while no process ran. */
const maxMissed = 100

export interface PutOptions {
  readonly isDeclared: boolean
  readonly isPaused: boolean
}

/**
 * With the same times as before, a tick that is due stays due. What was wrong with the request before says nothing now.
 * @param before null: there was none of this name
 */
export function put(
  before: Schedule | null,
  name: string,
  { cron, timeZone, request, missed }: ScheduleDefinition,
  { isDeclared, isPaused }: PutOptions,
  timetable: Timetable,
  now: number,
): Schedule {
  const isSameTime = before?.cron === cron && before.timeZone === timeZone
  const nextAt = isSameTime && !before.isPaused ? before.nextAt : timetable.next(now)
  const { lastAt = null, lastRunId = null } = before ?? {}
  return {
    name,
    cron,
    timeZone,
    request,
    missed,
    isDeclared,
    isPaused,
    lastAt,
    lastRunId,
    problem: null,
    revision: randomUUID(),
    nextAt: isPaused ? null : nextAt,
  }
}

/** @returns the same one where it is paused already */
export function pause(schedule: Schedule): Schedule {
  return schedule.isPaused ? schedule : written(schedule, { isPaused: true, nextAt: null })
}

/** Ticks that passed meanwhile are no missed ones. @returns the same one where it is not paused */
export function resume(schedule: Schedule, timetable: Timetable, now: number): Schedule {
  return schedule.isPaused ? written(schedule, { isPaused: false, nextAt: timetable.next(now) }) : schedule
}

/** What a due tick asks for: a run, or no more than to go on to the next one. */
export interface Due {
  /** The tick that makes a run; null: none does. */
  readonly tick: number | null
  /** The tick that follows; null where none does. */
  readonly nextAt: number | null
}

/**
 * @param watchedSince since when the process has been there: a later tick makes its run, even if it is late; of earlier
 *   ones, which were missed, `missed` decides
 */
export function dueOf({ nextAt, missed }: Schedule, timetable: Timetable, watchedSince: number): Due | null {
  if (nextAt === null) return null
  const goOn = (tick: number): Due => ({ tick, nextAt: timetable.next(tick) })
  if (nextAt >= watchedSince) return goOn(nextAt)
  if (missed === 'skip') return { tick: null, nextAt: timetable.next(watchedSince - 1) }
  const [first = nextAt] = timetable.last(nextAt - 1, watchedSince - 1, missed === 'one' ? 1 : maxMissed)
  return goOn(first)
}

/** After a tick that made a run. */
export function ticked(schedule: Schedule, { tick, nextAt }: Due, runId: string): Schedule {
  return written(schedule, { nextAt, lastAt: tick, lastRunId: runId, problem: null })
}

/** After ticks that make none. @param problem null where that is as it should be */
export function passed(schedule: Schedule, { nextAt }: Due, problem: ScheduleProblem | null): Schedule {
  return written(schedule, { nextAt, ...(problem && { problem }) })
}

function written(schedule: Schedule, members: Partial<Schedule>): Schedule {
  return { ...schedule, ...members, revision: randomUUID() }
}
