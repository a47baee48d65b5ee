/**
 * What claims ask about tasks: when jobs of those with a rate have started, and which are paused. Starts are by the clock
 * of the database, because processes have different ones. A transaction that claims jobs of a task with a rate holds a
 * lock of that task, so that no two of them count the same room.
 */
import { type Rate, rateStepMs } from '../../../domain/task.ts'
import type { Query } from '../connection/connection.ts'

export type RatedTask = readonly [task: string, rate: Rate]

/** Jobs of a task that a transaction starts. */
export interface TaskStart {
  readonly task: string
  readonly rate: Rate
  readonly count: number
}

export interface Room {
  /** How many more jobs of the task may start. */
  readonly left: number
  /** After how long the next one may, in milliseconds, once as many as that have started. */
  readonly waitMs: number
}

/** Starts can be written by a clock that was set back since; a rounded instant is a little ahead, too. */
const toleranceMs = 1_000

// A claim that finds the lock taken does not wait: another process is claiming jobs of this task.
const lockRates = {
  name: 'lock-rates',
  text: `SELECT task FROM unnest($1::text[]) AS task
    WHERE pg_try_advisory_xact_lock(hashtextextended($2::text || ' ' || task, 0))`,
}
const dbNow = '(extract(epoch FROM clock_timestamp()) * 1000)'
const selectStarts = {
  name: 'select-starts',
  text: `
    WITH clock AS MATERIALIZED (SELECT floor${dbNow}::bigint AS now)
    SELECT rate.task, clock.now, counted.* FROM clock
    CROSS JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS rate (task, most, per_ms)
    CROSS JOIN LATERAL (
      SELECT coalesce(max(total), 0) AS used, min(at) AS first_at, max(at) AS last_at,
        max(at) FILTER (WHERE total >= rate.most) AS full_at
      FROM (
        SELECT task_start.at, sum(task_start.starts) OVER (ORDER BY task_start.at DESC) AS total FROM task_start
        WHERE task_start.task = rate.task AND task_start.at > clock.now - rate.per_ms) AS recent
    ) AS counted`,
}
const boundStarts = {
  name: 'bound-starts',
  text: `
    WITH clock AS MATERIALIZED (SELECT floor${dbNow}::bigint AS now),
      ahead AS (DELETE FROM task_start USING clock WHERE task = $1 AND at > clock.now RETURNING task, starts, ends_at - at AS ms)
    INSERT INTO task_start AS known (task, at, starts, ends_at)
    SELECT task, min(clock.now), sum(starts), min(clock.now) + max(ms) FROM ahead CROSS JOIN clock GROUP BY task
    ON CONFLICT (task, at) DO UPDATE SET starts = known.starts + excluded.starts`,
}

/** What may start of each task; those that another transaction claims jobs of are left out. @throws DatabaseFailure */
export async function roomFor(query: Query, schema: string, rated: readonly RatedTask[]): Promise<Map<string, Room>> {
  const values = [rated.map(([task]) => task), rated.map(([, { limit }]) => limit), rated.map(([, { perMs }]) => perMs)]
  // Another statement: it sees what the last owner of the lock has committed.
  const [locked, rows] = await Promise.all([query(lockRates, [values[0], schema]), query(selectStarts, values)])
  const own = new Set(locked.map(({ task }) => String(task)))
  const found = new Map<string, Room>()
  for (const [task, rate] of rated) {
    const row = rows.find((one) => one['task'] === task)
    if (row === undefined || !own.has(task)) continue
    const [now, used] = [Number(row['now']), Number(row['used'])]
    const at = (name: string): number | null => (row[name] === null ? null : Number(row[name]))
    if ((at('last_at') ?? 0) > now + rateStepMs(rate) + toleranceMs) {
      await query(boundStarts, [task])
      return roomFor(query, schema, rated)
    }
    const full = at('full_at')
    const left = full === null ? rate.limit - used : 0
    // The first one to leave the window makes room; where it is empty, that is one which is about to start.
    const leaves = full ?? at('first_at') ?? now + rateStepMs(rate)
    found.set(task, { left, waitMs: leaves + rate.perMs - now })
  }
  return found
}

/** Part of the statement that writes. With a question mark for each value. */
export const insertStarts = `INSERT INTO task_start AS known (task, at, starts, ends_at)
  SELECT task, instant.at, starts, instant.at + per_ms
  FROM unnest(?::text[], ?::integer[], ?::bigint[], ?::bigint[]) AS new (task, starts, step, per_ms)
  CROSS JOIN LATERAL (SELECT ceil(${dbNow} / step)::bigint * step AS at) AS instant
  ON CONFLICT (task, at) DO UPDATE SET starts = known.starts + excluded.starts,
    ends_at = greatest(known.ends_at, excluded.ends_at)`

export const deleteStarts = `DELETE FROM task_start WHERE task = ANY(?::text[]) AND ends_at <= floor${dbNow}::bigint`

export function startValues(starts: readonly TaskStart[]): unknown[] {
  return [
    starts.map(({ task }) => task),
    starts.map(({ count }) => count),
    starts.map(({ rate }) => rateStepMs(rate)),
    starts.map(({ rate }) => rate.perMs),
  ]
}

/** As SQL has it: whether the task may start. */
export function isNotPaused(task: string): string {
  return `NOT EXISTS (SELECT FROM paused_task WHERE paused_task.task = ${task})`
}

const selectPaused = { name: 'select-paused', text: 'SELECT task FROM paused_task' }
const pause = {
  name: 'pause-task',
  text: `WITH paused AS (INSERT INTO paused_task VALUES ($1) ON CONFLICT (task) DO NOTHING) SELECT pg_notify($2, $3)`,
}
const resume = {
  name: 'resume-task',
  text: `WITH resumed AS (DELETE FROM paused_task WHERE task = $1) SELECT pg_notify($2, $3)`,
}

export type PausedTasks = ReturnType<typeof createPausedTasks>

/**
 * A claim that looks into the queue asks the table. What this process knows of it, by notifications and a look each second,
 * decides where nothing is looked for: for jobs that are claimed as they are accepted.
 * @param message that the others receive: they read the table again
 */
export function createPausedTasks(query: Query, channel: string, message: string) {
  let paused: ReadonlySet<string> = new Set()
  let reads = 0
  let newest = 0

  /** @throws DatabaseFailure */
  async function refresh(): Promise<void> {
    reads += 1
    const read = reads
    const rows = await query(selectPaused)
    // Two reads run on two connections, and the older one can return last.
    if (read < newest) return
    newest = read
    paused = new Set(rows.map(({ task }) => String(task)))
  }

  return {
    all: (): ReadonlySet<string> => paused,
    has: (task: string): boolean => paused.has(task),
    /** Notifies the other processes with the commit. @throws DatabaseFailure */
    async set(task: string, isPaused: boolean): Promise<void> {
      await query(isPaused ? pause : resume, [task, channel, message])
      await refresh()
    },
    refresh,
  }
}
