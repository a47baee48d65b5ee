/**
 * How many jobs of tasks with a rate a claim may take. A claim that looks into the queue locks the rates that may have
 * room; any other claim takes no job of such a task. This process remembers which rates are used up, so that jobs that
 * wait for their turn cost its claims nothing until then.
 */
import type { ClaimedJob } from '../../../domain/claim.ts'
import type { Rate } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-requests.ts'
import type { Query } from '../connection/connection.ts'
import { type RatedTask, type Room, roomFor, type TaskStart } from '../statements/tasks.ts'

type Limits = Readonly<Record<string, number>>

export interface RateLimits {
  /** Before a look: the limits of the request, and 0 for tasks whose rate is used up. */
  known(request: ClaimRequest): Limits
  /** Locks the rates that may have room, until the transaction ends. @throws DatabaseFailure */
  look(query: Query, request: ClaimRequest): Promise<ClaimLimits>
  /** For a claim without a look. */
  none(request: ClaimRequest): ClaimLimits
  /** Tasks of the request whose rate is used up, and until when. @param at now, by the clock of the service */
  until(request: ClaimRequest, at: number): Limits
}

/** What one claim may take. */
export interface ClaimLimits {
  /** The limits of the request and those of rates. */
  readonly taskLimits: Limits
  /** Whether rates were looked at: jobs start after that. */
  readonly hasLooked: boolean
  /** Whether the next claim, which looks at the task's rate, may take jobs of it. */
  isUnread(task: string): boolean
  /** What is to be written for these jobs. */
  startsOf(jobs: readonly ClaimedJob[]): TaskStart[]
  /** After how many milliseconds the next claim may take jobs that this one may not, once it has taken these. */
  nextInMs(starts: readonly TaskStart[]): number
  /** These starts were committed. */
  keep(starts: readonly TaskStart[]): void
}

/** After this time a claim looks again at rates that another transaction had locked. */
const lockedMs = 5

export function createRateLimits(schema: string): RateLimits {
  /** By the steady clock; of a task with this rate. */
  const fullUntil = new Map<string, number>()
  const nameOf = (task: string, { limit, perMs }: Rate): string => `${task} ${limit} ${perMs}`
  const ratesOf = ({ rates = {} }: ClaimRequest): readonly RatedTask[] => Object.entries(rates)

  function waitMs([task, rate]: RatedTask): number {
    return Math.max(0, (fullUntil.get(nameOf(task, rate)) ?? 0) - performance.now())
  }

  /** @param rooms of the rates that this claim has locked; null: it has not looked */
  function limitsWith(request: ClaimRequest, rooms: ReadonlyMap<string, Room> | null): ClaimLimits {
    const { taskLimits, rates = {} } = request
    const rated = ratesOf(request)
    const bounds = rated.map(([task, { limit }]) => {
      return [task, Math.min(taskLimits[task] ?? limit, rooms?.get(task)?.left ?? 0)] as const
    })
    /** How long the task's rate is used up once these have started; null: it is not. */
    const usedUpMs = (task: string, starts: readonly TaskStart[]): number | null => {
      const room = rooms?.get(task)
      const started = starts.find((one) => one.task === task)?.count ?? 0
      return room === undefined || started < room.left ? null : room.waitMs
    }

    return {
      taskLimits: rated.length === 0 ? taskLimits : { ...taskLimits, ...Object.fromEntries(bounds) },
      hasLooked: rooms !== null && rooms.size > 0,
      isUnread(task) {
        const rate = rates[task]
        return rate !== undefined && rooms === null && waitMs([task, rate]) === 0
      },
      startsOf: (jobs) =>
        rated.flatMap(([task, rate]) => {
          const count = jobs.filter((job) => job.task === task).length
          return count === 0 ? [] : { task, rate, count }
        }),
      nextInMs(starts) {
        const waits = rated.map((one) => {
          const [task] = one
          const isLockedElsewhere = rooms !== null && !rooms.has(task) && (taskLimits[task] ?? 1) > 0
          return waitMs(one) || (isLockedElsewhere ? lockedMs : (usedUpMs(task, starts) ?? Infinity))
        })
        return Math.ceil(Math.min(...waits))
      },
      keep(starts) {
        for (const { task, rate } of starts) fill([task, rate], usedUpMs(task, starts))
      },
    }
  }

  function fill([task, rate]: RatedTask, ms: number | null): void {
    if (ms !== null) fullUntil.set(nameOf(task, rate), performance.now() + ms)
  }

  return {
    known(request) {
      const full = ratesOf(request).filter((one) => waitMs(one) > 0)
      if (full.length === 0) return request.taskLimits
      return { ...request.taskLimits, ...Object.fromEntries(full.map(([task]) => [task, 0])) }
    },
    async look(query, request) {
      const open = ratesOf(request).filter((one) => waitMs(one) === 0 && (request.taskLimits[one[0]] ?? 1) > 0)
      const rooms = open.length === 0 ? new Map<string, Room>() : await roomFor(query, schema, open)
      for (const one of open) {
        const room = rooms.get(one[0])
        if (room?.left === 0) fill(one, room.waitMs)
      }
      return limitsWith(request, rooms)
    },
    none: (request) => limitsWith(request, null),
    until(request, at) {
      const waits = ratesOf(request).map((one) => [one[0], waitMs(one)] as const)
      return Object.fromEntries(waits.filter(([, ms]) => ms > 0).map(([task, ms]) => [task, at + Math.ceil(ms)]))
    },
  }
}
