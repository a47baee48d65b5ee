/**
 * Schedules: read as they are asked for, and written only by a writer that knows the latest revision; and since when
 * processes have been there to see their ticks.
 */
import { acceptRun } from '../../../domain/run/new-run.ts'
import { maxSchedules, type Schedule } from '../../../domain/schedule.ts'
import { scheduleOf, scheduleRow } from '../../rows.ts'
import type { DueSchedules, ScheduleChange, ScheduleResult } from '../../store.ts'
import type { Limits, Query, Row } from '../connection/connection.ts'
import { heartbeatText } from '../ownership/lease.ts'
import { type Context, type Look, lookingFor, type Operation } from '../writing/operations.ts'
import type { UnitOfWork } from '../writing/unit-of-work.ts'

const insert = {
  name: 'insert-schedule',
  text: `
    INSERT INTO schedule (name, revision, next_at, schedule) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1`,
}
// Of processes that add schedules, each counts what the one before has committed.
const lockCount = {
  name: 'lock-count-of-schedules',
  text: `SELECT pg_advisory_xact_lock(hashtextextended('forerunner schedules ' || current_schema(), 0))`,
}
const selectFull = {
  name: 'select-whether-schedules-are-full',
  text: `
    SELECT (SELECT count(*) FROM schedule) >= ${maxSchedules} AND NOT EXISTS (SELECT FROM schedule WHERE name = $1) AS is_full`,
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

export async function writeSchedule(
  query: Query,
  { name, from, to }: Omit<ScheduleChange, 'run'>,
): Promise<ScheduleResult> {
  if (from === null && to !== null && !to.isDeclared && (await isFull(query, name))) return 'full'
  const rows = await write(query, name, from, to)
  return rows.length > 0 ? 'changed' : 'outdated'
}

async function isFull(query: Query, name: string): Promise<boolean> {
  await query(lockCount)
  return (await query(selectFull, [name]))[0]?.['is_full'] === true
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

/** Alone in its transaction: those of two processes that change the same schedules then lock one row each. */
export function changeSchedule({ run, ...change }: ScheduleChange, at: number): Operation {
  const { name, to } = change
  const look: Look = async (query) => {
    const result = await writeSchedule(query, change)
    const revision = result === 'outdated' ? ((await readSchedule(query, name))?.revision ?? null) : null
    const apply = (unit: UnitOfWork, { process, isRepeat }: Context): ScheduleResult => {
      // Sent before, it may have taken place: nobody else has this revision.
      if (result === 'outdated' && isRepeat && revision === (to?.revision ?? null)) return 'changed'
      if (result === 'changed' && run !== null) unit.add(acceptRun(run, at, process))
      return result
    }
    return { records: [], apply }
  }
  return lookingFor('changeSchedule', look, run === null ? {} : { accepts: { run, at } })
}

const forget = { name: 'forget-watch', text: 'UPDATE process SET watched_since = NULL WHERE id = $1' }
const selectOthers = {
  name: 'select-watches',
  text: `SELECT id, ${heartbeatText} AS heartbeat, watched_since FROM process WHERE id <> $1`,
}
const note = { name: 'note-watch', text: 'UPDATE process SET watched_since = $2 WHERE id = $1' }

interface Watch {
  readonly at: number
  /** On the clock of `performance.now()`. */
  readonly begunAt: number
  readonly heartbeats: ReadonlySet<unknown>
  since: number | null
}

/**
 * A process that starts goes on where others, that live still, have been before it. Whether another one lives is seen by
 * its heartbeat, which changes; the row of a dead one can stay for long.
 * @param process number of this one
 * @returns see `watchedSince` of the store's notifier
 */
export function createTickWatch(query: Query, process: number, { renewMs, roundMs }: Limits) {
  let watch: Watch | null = null

  async function begin(at: number): Promise<Watch> {
    // Others are not to rely on what it knew before.
    await query(forget, [process])
    const others = await query(selectOthers, [process])
    return {
      at,
      begunAt: performance.now(),
      heartbeats: new Set(others.map(({ heartbeat }) => heartbeat)),
      since: null,
    }
  }

  return async (at: number): Promise<number | null> => {
    if (watch?.at !== at) watch = await begin(at)
    if (watch.since !== null) return watch.since
    const others = await query(selectOthers, [process])
    const { begunAt, heartbeats } = watch
    const knowing = others.filter((row) => !heartbeats.has(row['heartbeat']) && sinceOf(row) !== null)
    // Long enough for each that lives to have renewed its lease, and to know by itself.
    const isLate = performance.now() - begunAt > 2 * renewMs + roundMs
    if (knowing.length < others.length && !isLate) return null
    const since = Math.min(at, ...knowing.map((row) => sinceOf(row) ?? at))
    await query(note, [process, since])
    watch.since = since
    return since
  }
}

function sinceOf(row: Row): number | null {
  const since = row['watched_since']
  return typeof since === 'number' ? since : null
}
