/**
 * Schedules, and since when processes have watched their ticks. A change names the revision that it replaces: if another
 * process has replaced it before, nothing changes.
 */
import { acceptRun } from '../../../domain/run/new-run.ts'
import { maxSchedules, type Schedule } from '../../../domain/schedule.ts'
import { scheduleOf, scheduleRow } from '../../rows.ts'
import type { DueSchedules, ScheduleChange, ScheduleResult } from '../../store.ts'
import type { Timing, Query, Row } from '../connection/connection.ts'
import { heartbeatText } from '../ownership/lease.ts'
import { type Context, type Lookup, withLookup, type Operation } from '../writing/operations.ts'
import type { UnitOfWork } from '../writing/unit-of-work.ts'

const insert = {
  name: 'insert-schedule',
  text: `
    INSERT INTO schedule (name, revision, next_at, schedule) VALUES ($1, $2, $3, $4)
    ON CONFLICT DO NOTHING RETURNING 1`,
}
// A process that adds a schedule counts all that other processes have added before.
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

async function writeSchedule(query: Query, { name, from, to }: Omit<ScheduleChange, 'run'>): Promise<ScheduleResult> {
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

/**
 * Changes a schedule, in a transaction of its own: transactions that lock the rows of several schedules in different orders
 * could wait for each other.
 */
export function changeSchedule({ run, ...change }: ScheduleChange, at: number): Operation {
  const { name, to } = change
  const lookup: Lookup = async (query) => {
    const result = await writeSchedule(query, change)
    const revision = result === 'outdated' ? ((await readSchedule(query, name))?.revision ?? null) : null
    const apply = (unit: UnitOfWork, { processId, isRepeat }: Context): ScheduleResult => {
      // This very change was committed when it was first sent: no other change makes this revision.
      if (result === 'outdated' && isRepeat && revision === (to?.revision ?? null)) return 'changed'
      if (result === 'changed' && run !== null) unit.add(acceptRun(run, at, processId))
      return result
    }
    return { records: [], apply }
  }
  return withLookup('changeSchedule', lookup, run === null ? undefined : { run, at })
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
  readonly startedAt: number
  readonly heartbeats: ReadonlySet<unknown>
  since: number | null
}

/**
 * Finds out since when processes have watched the ticks: a process that starts continues the watch of the processes that
 * are alive. A process is alive if its heartbeat changes; the row of a dead one can stay for long.
 * @param processId number of this process
 * @returns see `watchedSince` of the store's notifier
 */
export function createTickWatch(query: Query, processId: number, { renewMs, roundMs }: Timing) {
  let watch: Watch | null = null

  async function start(at: number): Promise<Watch> {
    // Other processes must not rely on an earlier watch of this process.
    await query(forget, [processId])
    const others = await query(selectOthers, [processId])
    const heartbeats = new Set(others.map(({ heartbeat }) => heartbeat))
    return { at, startedAt: performance.now(), heartbeats, since: null }
  }

  return async (at: number): Promise<number | null> => {
    if (watch?.at !== at) watch = await start(at)
    if (watch.since !== null) return watch.since
    const others = await query(selectOthers, [processId])
    const { startedAt, heartbeats } = watch
    // Their leases were renewed after this watch started, and they know since when they watch.
    const watching = others.filter((row) => !heartbeats.has(row['heartbeat']) && sinceOf(row) !== null)
    // After this time, all others are dead.
    const isLate = performance.now() - startedAt > 2 * renewMs + roundMs
    if (watching.length < others.length && !isLate) return null
    const since = Math.min(at, ...watching.map((row) => sinceOf(row) ?? at))
    await query(note, [processId, since])
    watch.since = since
    return since
  }
}

function sinceOf(row: Row): number | null {
  const since = row['watched_since']
  return typeof since === 'number' ? since : null
}
