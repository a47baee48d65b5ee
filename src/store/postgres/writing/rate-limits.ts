/**
 * How many jobs of tasks with a rate a claim may take. This process remembers which rates are used up, so that jobs that
 * wait for their turn cost its claims nothing until then.
 */
import type { ClaimedJob } from '../../../domain/claim.ts'
import type { Rate } from '../../../domain/task.ts'
import type { ClaimRequest } from '../../claim-request.ts'
import type { Query } from '../connection/connection.ts'
import { type RatedTask, type Room, roomFor, type TaskStart } from '../statements/tasks.ts'

type Limits = Readonly<Record<string, number>>

/** The turn of one claim. */
export interface RateTurn {
  /** Before the look: the limits of the request, and none for tasks whose rate is used up. */
  known(): Limits
  /** Locks the rates that may have room, until the transaction ends. */
  look(query: Query): Promise<void>
  /** After it: of a task whose rate was not looked at nothing may be claimed. */
  limits(): Limits
  /** Whether rates were looked at: jobs start after that. */
  hasLooked(): boolean
  /** Whether jobs of the task may be claimed by the next claim, which looks at its rate. */
  isUnread(task: string): boolean
  /** What is to be written for these jobs. */
  startsOf(jobs: readonly ClaimedJob[]): TaskStart[]
  /** After how many milliseconds jobs of a rated task may be claimed that may not now, were these claimed. */
  nextInMs(starts: readonly TaskStart[]): number
  /** The transaction that has written these starts was committed. */
  keep(starts: readonly TaskStart[]): void
}

export interface RateLimits {
  begin(request: ClaimRequest): RateTurn
  /** Tasks of the request whose rate is used up, and until when. @param at the same moment by the clock of the service */
  until(request: ClaimRequest, at: number): Limits
}

/** After this time a claim looks again at rates that another transaction had locked. */
const lockedMs = 5

export function createRateLimits(schema: string): RateLimits {
  /** By the steady clock; of a task with this rate. */
  const fullUntil = new Map<string, number>()
  const nameOf = (task: string, { limit, perMs }: Rate): string => `${task} ${limit} ${perMs}`

  function waitMs(task: string, rate: Rate): number {
    return Math.max(0, (fullUntil.get(nameOf(task, rate)) ?? 0) - performance.now())
  }

  function fill(task: string, rate: Rate, ms: number): void {
    fullUntil.set(nameOf(task, rate), performance.now() + ms)
  }

  return {
    begin({ rates = {}, taskLimits }) {
      const rated: readonly RatedTask[] = Object.entries(rates)
      let rooms: ReadonlyMap<string, Room> | null = null
      const isUsedUp = (task: string, starts: readonly TaskStart[]): boolean => {
        const room = rooms?.get(task)
        return room !== undefined && room.left - (starts.find((one) => one.task === task)?.count ?? 0) <= 0
      }

      return {
        known() {
          rooms = null
          const full = rated.filter((one) => waitMs(...one) > 0).map(([task]) => [task, 0] as const)
          return full.length === 0 ? taskLimits : { ...taskLimits, ...Object.fromEntries(full) }
        },
        async look(query) {
          const open = rated.filter(([task, rate]) => waitMs(task, rate) === 0 && (taskLimits[task] ?? 1) > 0)
          rooms = open.length === 0 ? new Map() : await roomFor(query, schema, open)
          for (const [task, rate] of open) {
            const room = rooms.get(task)
            if (room?.left === 0) fill(task, rate, room.waitMs)
          }
        },
        limits() {
          if (rated.length === 0) return taskLimits
          const left = rated.map(([task, { limit }]) => [
            task,
            Math.min(taskLimits[task] ?? limit, rooms?.get(task)?.left ?? 0),
          ])
          return { ...taskLimits, ...(Object.fromEntries(left) as Limits) }
        },
        hasLooked: () => rooms !== null && rooms.size > 0,
        isUnread(task) {
          const rate = rates[task]
          return rate !== undefined && rooms === null && waitMs(task, rate) === 0
        },
        startsOf(jobs) {
          return rated.flatMap(([task, rate]) => {
            const count = jobs.filter((job) => job.task === task).length
            return count === 0 ? [] : [{ task, rate, count }]
          })
        },
        nextInMs(starts) {
          const waits = rated.map(([task, rate]) => {
            const knownMs = waitMs(task, rate)
            if (knownMs > 0) return knownMs
            if (rooms !== null && !rooms.has(task) && (taskLimits[task] ?? 1) > 0) return lockedMs
            return isUsedUp(task, starts) ? (rooms?.get(task)?.waitMs ?? 0) : Infinity
          })
          return Math.ceil(Math.min(...waits))
        },
        keep(starts) {
          for (const { task, rate } of starts)
            if (isUsedUp(task, starts)) fill(task, rate, rooms?.get(task)?.waitMs ?? 0)
        },
      }
    },
    until({ rates = {} }, at) {
      const waits = Object.entries(rates).map(([task, rate]) => [task, waitMs(task, rate)] as const)
      return Object.fromEntries(waits.filter(([, ms]) => ms > 0).map(([task, ms]) => [task, at + Math.ceil(ms)]))
    },
  }
}
