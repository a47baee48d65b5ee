/** Schedules: as a task declares one, and as the store keeps it. */

/** Runs for ticks that passed while no process ran. `one`: for the last of them; `skip`: none; `all`: for each. */
export const missedPolicies = ['one', 'skip', 'all'] as const
export type MissedPolicy = (typeof missedPolicies)[number]

/** The schedule of a task definition. */
export interface TaskSchedule {
  /** Five fields, or six with the seconds first: `0 3 * * *` is every night at three. */
  readonly cron: string
  /** A name of the IANA database, such as `Europe/Berlin`; default `UTC`. */
  readonly timeZone?: string
  readonly input?: unknown
  /** Runs for ticks that passed while no process ran. `one` (default): for the last of them; `skip`: none; `all`: for each. */
  readonly missed?: MissedPolicy
}

export interface ScheduleDefinition extends Required<Pick<TaskSchedule, 'cron' | 'timeZone'>> {
  /** JSON of a `RunRequest`. */
  readonly request: string
  readonly missed: MissedPolicy
}

export interface Schedule extends ScheduleDefinition {
  readonly name: string
  /** New after each write, and never used twice for the same name. */
  readonly revision: string
  /** Whether it was declared in code. */
  readonly isDeclared: boolean
  readonly isPaused: boolean
  /** The next tick to process; null: the schedule is paused, or has no further tick. */
  readonly nextAt: number | null
  /** The last tick that made a run; null: none. */
  readonly lastAt: number | null
  /** The run of that tick, which may have been pruned since. */
  readonly lastRunId: string | null
  /** Why the last tick made no run; null: it made one. */
  readonly problem: ScheduleProblem | null
}

export interface ScheduleProblem {
  /** Instant of the tick. */
  readonly at: number
  readonly code: string
  readonly detail: string
}

export const maxSchedules = 1_000

const namePattern = /^[A-Za-z0-9_-]{1,64}$/

export function isScheduleName(text: string): boolean {
  return namePattern.test(text)
}

/** The tag of each run that the schedule makes. It does not count towards the limit of tags. */
export function scheduleTag(name: string): string {
  return `schedule:${name}`
}
