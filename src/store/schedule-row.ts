/** A schedule as both engines keep it: one row, with everything that no statement looks at as JSON. */
import type { Schedule } from '../domain/schedule.ts'

export interface ScheduleRow {
  readonly name: string
  readonly revision: string
  readonly nextAt: number | null
  /** JSON of the other members. */
  readonly rest: string
}

export function scheduleRow({ name, revision, nextAt, ...rest }: Schedule): ScheduleRow {
  return { name, revision, nextAt, rest: JSON.stringify(rest) }
}

/** @param row with the columns of the table; of large numbers, the text will do */
export function scheduleOf(row: Readonly<Record<string, unknown>>): Schedule {
  // Written by `scheduleRow`.
  const rest = JSON.parse(String(row['schedule'])) as Omit<Schedule, keyof Omit<ScheduleRow, 'rest'>>
  const at = row['next_at']
  return {
    ...rest,
    name: String(row['name']),
    revision: String(row['revision']),
    nextAt: at === null ? null : Number(at),
  }
}
