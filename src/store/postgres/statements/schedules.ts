/** Schedules: read as they are asked for, and written only by a writer that knows the latest revision. */
import { acceptRun } from '../../../domain/run/new-run.ts'
import type { Schedule } from '../../../domain/schedule.ts'
import { scheduleOf, scheduleRow } from '../../rows.ts'
import type { DueSchedules, ScheduleChange } from '../../store.ts'
import type { Query, Row } from '../connection/connection.ts'
import type { Operation } from '../writing/operations.ts'

const insert = {
  name: 'insert-schedule',
  text: `
    INSERT INTO schedule (name, revision, next_at, schedule) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1`,
}
const update = {
  name: 'update-schedule',
  text: `
    UPDATE schedule SET revision = $2, next_at = $3, schedule = $4 WHERE name = $1 AND revision = $5 RETURNING 1`,
}
const remove = { name: 'delete-schedule', text: 'DELETE FROM schedule WHERE name = $1 AND revision = $2 RETURNING 1' }
const select = {
  name: 'select-schedule',
  text: 'SELECT name, revision, next_at, schedule FROM schedule WHERE name = $1',
}
const selectAll = {
  name: 'select-schedules',
  text: 'SELECT name, revision, next_at, schedule FROM schedule ORDER BY name COLLATE "C"',
}
const selectDue = {
  name: 'select-due-schedules',
  text: 'SELECT name, revision, next_at, schedule FROM schedule WHERE next_at <= $1 ORDER BY next_at',
}
const selectNext = { name: 'select-next-tick', text: 'SELECT min(next_at) AS next_at FROM schedule WHERE next_at > $1' }

/**
 * @returns whether it took place: the schedule was as the change has it
 */
export async function writeSchedule(query: Query, { name, from, to }: Omit<ScheduleChange, 'run'>): Promise<boolean> {
  const rows = await write(query, name, from, to)
  return rows.length > 0
}

async function write(query: Query, name: string, from: string | null, to: Schedule | null): Promise<Row[]> {
  if (to === null) return from === null ? [] : query(remove, [name, from])
  const { revision, nextAt, rest } = scheduleRow(to)
  const values = [name, revision, nextAt, rest]
  return from === null ? query(insert, values) : query(update, [...values, from])
}

export async function readSchedule(query: Query, name: string): Promise<Schedule | null> {
  const [row] = await query(select, [name])
  return row === undefined ? null : scheduleOf(row)
}

export async function readSchedules(query: Query): Promise<readonly Schedule[]> {
  return (await query(selectAll)).map(scheduleOf)
}

export async function readDueSchedules(query: Query, at: number): Promise<DueSchedules> {
  const [due, [next]] = await Promise.all([query(selectDue, [at]), query(selectNext, [at])])
  const nextAt = next?.['next_at']
  return { due: due.map(scheduleOf), nextAt: nextAt === null || nextAt === undefined ? null : Number(nextAt) }
}

export type ScheduleResult = 'changed' | 'outdated'

/** Alone in its transaction: those of two processes that change the same schedules then lock one row each. */
export function changeSchedule({ run, ...change }: ScheduleChange, at: number): Operation {
  const { name, to } = change
  let isChanged = false
  /** As the schedule is, where it was not changed. */
  let revision: string | null = null
  return {
    verb: 'changeSchedule',
    runIds: [],
    ...(run && { accepts: { run, at } }),
    look: () => async (query) => {
      isChanged = await writeSchedule(query, change)
      revision = isChanged ? null : ((await readSchedule(query, name))?.revision ?? null)
      return []
    },
    apply(unit, { process, isRepeat }): ScheduleResult {
      // Sent before, it may have taken place: nobody else has this revision.
      if (!isChanged) return isRepeat && revision === (to?.revision ?? null) ? 'changed' : 'outdated'
      if (run !== null) unit.add(acceptRun(run, at, process))
      return 'changed'
    },
  }
}
