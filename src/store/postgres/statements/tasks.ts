/**
 * Limits of tasks: rates, and pauses. A transaction that claims jobs of a task with a rate locks the rate, so that no two
 * transactions use the same room, and stores the starts. Starts are stored by the database's clock, because the clocks of
 * processes differ. A process remembers which rates are used up, so that jobs that wait for their turn cost it no queries.
 */
import type { ClaimedJob } from '../../../domain/claim.ts'
import { type Rate, rateStepMs } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-requests.ts'
import { columns, type Query } from '../connection/connection.ts'

/** Jobs of a task that a transaction starts. */
export interface TaskStart {
  readonly task: string
  readonly rate: Rate
  readonly count: number
}

/** Numbers by task. */
type ByTask = Readonly<Record<string, number>>

export interface RateLimits {
  /** The limits of the request, and 0 for tasks whose rate is known to be used up. */
  knownLimits(request: ClaimRequest): ByTask
  /** Locks the rates that may have room until the transaction ends. @throws DatabaseFailure */
  lock(query: Query, request: ClaimRequest): Promise<ClaimLimits>
  /** The limits of a claim without queries: it takes no job of a task with a rate. */
  unlocked(request: ClaimRequest): ClaimLimits
  /** Tasks of the request whose rate is used up, and until when. @param at now, by the clock of the service */
  until(request: ClaimRequest, at: number): ByTask
}

/** How many jobs of tasks with a rate one claim may take. */
export interface ClaimLimits {
  /** The limits of the request, narrowed by the rates. */
  readonly taskLimits: ByTask
  /** Whether rates were locked. Jobs then start later than the request says. */
  readonly hasLocked: boolean
  /** Whether a claim that locks the task's rate may take jobs that this one may not. */
  needsLock(task: string): boolean
  /** The starts to store for these jobs. */
  startsOf(jobs: readonly ClaimedJob[]): TaskStart[]
  /** Milliseconds until a claim may take jobs that this one leaves when it starts these; may be Infinity. */
  nextInMs(starts: readonly TaskStart[]): number
  /** Call when the starts are committed. */
  noteStarted(starts: readonly TaskStart[]): void
}

type RatedTask = readonly [task: string, rate: Rate]

/** The room of a rate. */
interface Room {
  /** How many more jobs of the task may start. */
  readonly left: number
  /** Milliseconds until there is room again, once `left` more jobs have started. */
  readonly waitMs: number
}

/** How soon a claim tries again to lock the jobs or the rate that another transaction has locked. */
export const lockedMs = 5

export function createRateLimits(): RateLimits {
  /** Until when rates are used up, on the clock of `performance.now()`. */
  const fullUntil = new Map<string, number>()
  const nameOf = ([task, { limit, perMs }]: RatedTask): string => `${task} ${limit} ${perMs}`
  // A task may be named `constructor`, which every object has.
  const limitIn = ({ taskLimits }: ClaimRequest, task: string): number | undefined =>
    Object.hasOwn(taskLimits, task) ? taskLimits[task] : undefined
  const ratesOf = ({ rates = {} }: ClaimRequest): readonly RatedTask[] => Object.entries(rates)
  const waitMs = (rated: RatedTask): number => Math.max(0, (fullUntil.get(nameOf(rated)) ?? 0) - performance.now())
  const noteFull = (rated: RatedTask, ms: number): void => void fullUntil.set(nameOf(rated), performance.now() + ms)

  /** @param rooms of the rates that the claim has locked; null: it has made no query */
  function limitsWith(request: ClaimRequest, rooms: ReadonlyMap<string, Room> | null): ClaimLimits {
    const { taskLimits } = request
    const rated = ratesOf(request)
    const bounds = rated.map(([task, { limit }]) => {
      return [task, Math.min(limitIn(request, task) ?? limit, rooms?.get(task)?.left ?? 0)] as const
    })
    /** How long the starts use up the task's rate; null if there is room left. */
    function usedUpMs(task: string, starts: readonly TaskStart[]): number | null {
      const room = rooms?.get(task)
      const started = starts.find((start) => start.task === task)?.count ?? 0
      return room === undefined || started < room.left ? null : room.waitMs
    }

    return {
      taskLimits: rated.length === 0 ? taskLimits : { ...taskLimits, ...Object.fromEntries(bounds) },
      hasLocked: rooms !== null && rooms.size > 0,
      needsLock: (task) => rooms === null && rated.some((one) => one[0] === task && waitMs(one) === 0),
      startsOf: (jobs) =>
        rated.flatMap(([task, rate]) => {
          const count = jobs.filter((job) => job.task === task).length
          return count === 0 ? [] : { task, rate, count }
        }),
      nextInMs(starts) {
        const waits = rated.map((one) => {
          const [task] = one
          if (waitMs(one) > 0) return waitMs(one)
          const isLockedElsewhere = rooms !== null && !rooms.has(task) && (limitIn(request, task) ?? 1) > 0
          return isLockedElsewhere ? lockedMs : (usedUpMs(task, starts) ?? Infinity)
        })
        return Math.ceil(Math.min(...waits))
      },
      noteStarted(starts) {
        for (const { task, rate } of starts) {
          const ms = usedUpMs(task, starts)
          if (ms !== null) noteFull([task, rate], ms)
        }
      },
    }
  }

  return {
    knownLimits(request) {
      const full = ratesOf(request).filter((rated) => waitMs(rated) > 0)
      if (full.length === 0) return request.taskLimits
      return { ...request.taskLimits, ...Object.fromEntries(full.map(([task]) => [task, 0])) }
    },
    async lock(query, request) {
      const open = ratesOf(request).filter((rated) => waitMs(rated) === 0 && (limitIn(request, rated[0]) ?? 1) > 0)
      const rooms = open.length === 0 ? new Map<string, Room>() : await lockRooms(query, open)
      for (const rated of open) {
        const room = rooms.get(rated[0])
        if (room?.left === 0) noteFull(rated, room.waitMs)
      }
      return limitsWith(request, rooms)
    },
    unlocked: (request) => limitsWith(request, null),
    until(request, at) {
      const waits = ratesOf(request).map((rated) => [rated[0], waitMs(rated)] as const)
      return Object.fromEntries(waits.filter(([, ms]) => ms > 0).map(([task, ms]) => [task, at + Math.ceil(ms)]))
    },
  }
}

/** How far ahead a stored start may be: its instant is rounded up. More means that the database's clock was set back. */
const toleranceMs = 1_000

// A claim does not wait for a lock: another transaction is claiming jobs of this task.
const lockRates = {
  name: 'lock-rates',
  text: `SELECT task FROM unnest($1::text[]) AS task
    WHERE pg_try_advisory_xact_lock(hashtextextended(current_schema() || ' ' || task, 0))`,
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
// The database's clock was set back: the starts that are ahead of it become one start, now.
const boundStarts = {
  name: 'bound-starts',
  text: `
    WITH clock AS MATERIALIZED (SELECT floor${dbNow}::bigint AS now),
      ahead AS (DELETE FROM task_start USING clock WHERE task = $1 AND at > clock.now RETURNING task, starts, ends_at - at AS ms)
    INSERT INTO task_start AS known (task, at, starts, ends_at)
    SELECT task, min(clock.now), sum(starts), min(clock.now) + max(ms) FROM ahead CROSS JOIN clock GROUP BY task
    ON CONFLICT (task, at) DO UPDATE SET starts = known.starts + excluded.starts`,
}

/** The room of each rate; a rate that another transaction has locked is left out. @throws DatabaseFailure */
async function lockRooms(query: Query, rated: readonly RatedTask[]): Promise<Map<string, Room>> {
  const rates = rated.map(([task, rate]) => ({ task, ...rate }))
  // Two statements: the second one sees what the last owner of the lock has committed.
  const [locked, rows] = await Promise.all([
    query(lockRates, columns(rates, 'task')),
    query(selectStarts, columns(rates, 'task', 'limit', 'perMs')),
  ])
  const isLocked = (name: string): boolean => locked.some(({ task }) => task === name)
  const rooms = new Map<string, Room>()
  for (const [task, rate] of rated) {
    const row = rows.find((found) => found['task'] === task)
    if (row === undefined || !isLocked(task)) continue
    const [now, used] = [Number(row['now']), Number(row['used'])]
    const at = (name: string): number | null => (row[name] === null ? null : Number(row[name]))
    if ((at('last_at') ?? 0) > now + rateStepMs(rate) + toleranceMs) {
      await query(boundStarts, [task])
      return lockRooms(query, rated)
    }
    const fullAt = at('full_at')
    // There is room again when a start leaves the window. If it is full, that is the start with which the sum, from the newest
    // on, reaches the limit. Otherwise it is the oldest start, or the one that is about to be stored.
    const leavesAt = fullAt ?? at('first_at') ?? now + rateStepMs(rate)
    rooms.set(task, { left: fullAt === null ? rate.limit - used : 0, waitMs: leavesAt + rate.perMs - now })
  }
  return rooms
}

/** Part of the statement that writes, with a question mark for each value. */
export const insertStarts = `INSERT INTO task_start AS known (task, at, starts, ends_at)
  SELECT task, instant.at, starts, instant.at + per_ms
  FROM unnest(?::text[], ?::integer[], ?::bigint[], ?::bigint[]) AS new (task, starts, step, per_ms)
  CROSS JOIN LATERAL (SELECT ceil(${dbNow} / step)::bigint * step AS at) AS instant
  ON CONFLICT (task, at) DO UPDATE SET starts = known.starts + excluded.starts,
    ends_at = greatest(known.ends_at, excluded.ends_at)`

export const deleteStarts = `DELETE FROM task_start WHERE task = ANY(?::text[]) AND ends_at <= floor${dbNow}::bigint`

/** A row of `insertStarts`. */
export function startRow({ task, count, rate }: TaskStart) {
  return { task, count, stepMs: rateStepMs(rate), perMs: rate.perMs }
}

/** SQL: whether jobs of the task may start. */
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
 * The paused tasks as this process knows them, by notifications and a read each second. They count for jobs that are
 * claimed as they are accepted; a claim from the queue reads the table itself.
 * @param message makes the other processes read the table again
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
