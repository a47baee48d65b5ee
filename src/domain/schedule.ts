/** Schedules, as a task declares one and as the store keeps it: when its ticks are, and the run that each of them makes. */

/** Of ticks that passed while no process ran: one run for the last of them, none, or one for each. */
export const missedPolicies = ['one', 'skip', 'all'] as const
export type MissedPolicy = (typeof missedPolicies)[number]

/** When a task runs by itself. */
export interface TaskSchedule {
  /** Five fields, or six with seconds: `0 3 * * *` is every night at three. */
  readonly cron: string
  /** A name of the IANA database, such as `Europe/Berlin`; default `UTC`. */
  readonly timeZone?: string
  readonly input?: unknown
  /** Of times that passed while no process ran: a run for the last of them (default), none, or one for each. */
  readonly missed?: MissedPolicy
}

export interface ScheduleDefinition {
  /** Five fields, or six with the seconds first. */
  readonly cron: string
  /** A name of the IANA database. */
  readonly timeZone: string
  /** JSON of a `RunRequest`. */
  readonly request: string
  readonly missed: MissedPolicy
}

export interface Schedule extends ScheduleDefinition {
  readonly name: string
  /** Another one after each write; never one that the schedule, or another of its name, has had before. */
  readonly revision: string
  /** Whether it was declared in code. */
  readonly isDeclared: boolean
  readonly isPaused: boolean
  /** The first tick that has not been dealt with; null where it is paused, and where no tick follows. */
  readonly nextAt: number | null
  /** The last tick that made a run, and that run, which may be forgotten by now. */
  readonly lastAt: number | null
  readonly lastRunId: string | null
  /** Why the last tick made no run; null where it made one. */
  readonly problem: ScheduleProblem | null
}

export interface ScheduleProblem {
  /** The tick. */
  readonly at: number
  readonly code: string
  readonly detail: string
}

export const maxSchedules = 1_000

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

export function isScheduleName(text: string): boolean {
  return namePattern.test(text)
}

/** Of each run that the schedule makes; it does not count as one of the request's own. */
export function scheduleTag(name: string): string {
  return `schedule:${name}`
}
