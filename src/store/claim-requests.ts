/** What claims of jobs and of deliveries request and return, and what both engines choose in the same way. */
import type { ClaimedJob, FreeSlots } from '../domain/claim.ts'
import type { ClaimedDelivery } from '../domain/run.ts'
import type { Rate, TaskKind } from '../domain/task.ts'

export interface ClaimRequest {
  readonly slots: readonly FreeSlots[]
  /** How many more jobs of these tasks may be claimed; other tasks have no limit. */
  readonly taskLimits: Readonly<Record<string, number>>
  /** Tasks whose jobs run in the child process of their thread; absent: none. */
  readonly isolated?: ReadonlySet<string>
  /** How often jobs of these tasks may start, counted over all processes that share the store; absent: none. */
  readonly rates?: Readonly<Record<string, Rate>>
  /** `suspects`: at most one job, and only one that fails when it loses one more start. */
  readonly only: 'all' | 'suspects'
  readonly at: number
}

export interface ClaimResult {
  /** Within a kind by priority, by due time, and in order of acceptance (on PostgreSQL by run id). */
  readonly jobs: readonly ClaimedJob[]
  /** When the next waiting job can start, of the kinds with a free slot left; null: there is none. */
  readonly nextDueAt: number | null
  /** When tasks whose rate is used up may start their next job; `nextDueAt` allows for it. Absent without `rates`. */
  readonly ratedUntil?: Readonly<Record<string, number>>
}

/** The thread of each free slot of the kind, in turn over the threads, so that the load spreads. */
export function freeThreads(slots: readonly FreeSlots[], kind: TaskKind): string[] {
  const left = slots.filter((slot) => slot.kind === kind).map(({ thread, count }) => ({ thread, count }))
  const threads: string[] = []
  while (left.some(({ count }) => count > 0)) {
    for (const slot of left) {
      if (slot.count > 0) threads.push(slot.thread)
      slot.count -= 1
    }
  }
  return threads
}

/** The name of the thread that runs a job of the task, or of the thread's child process. */
export function runnerOf({ isolated }: Pick<ClaimRequest, 'isolated'>, task: string, thread: string): string {
  return isolated?.has(task) === true ? thread.replace('worker', 'process') : thread
}

export interface DeliveryRequest {
  /** Number of deliveries to claim, at least one. */
  readonly limit: number
  /** How many deliveries one receiver may get. */
  readonly perReceiver: number
  /** Exceptions from `perReceiver`, by receiver. */
  readonly rooms: Readonly<Record<string, number>>
  /** Receivers that get at most `limit` deliveries together: their last try failed or was slow. */
  readonly late: { readonly receivers: readonly string[]; readonly limit: number }
  /** Only receivers that come after this one by name; empty: all. */
  readonly after: string
  /** Only these receivers, whatever `after` is; absent: all. */
  readonly among?: readonly string[]
  readonly at: number
}

export interface DeliveryClaims {
  readonly deliveries: readonly ClaimedDelivery[]
  /** When the next delivery is due, of the receivers that were read and have room; null: there is none. */
  readonly nextDueAt: number | null
  /** The last receiver that was read; null if it is the last of all. */
  readonly after: string | null
}

/** A receiver that has due deliveries, and how many of them are wanted. */
export interface WantedReceiver {
  readonly receiver: string
  readonly room: number
}

/** A delivery that was not sent for this long no longer keeps its run from being pruned. */
export const maxUnsentMs = 86_400_000
/** The latest deliveries of a run that readers get: a run can have any number, because each retry can add one. */
export const maxShownDeliveries = 100
/** Receivers that one claim reads: other operations wait for its commit. */
export const receiversPerClaim = 200

/** @param receivers with pending deliveries, and when their first one is due, in order of their names */
export function wantedReceivers(
  receivers: readonly { readonly receiver: string; readonly nextAt: number }[],
  { perReceiver, rooms, at }: DeliveryRequest,
): Pick<DeliveryClaims, 'nextDueAt' | 'after'> & { readonly wanted: readonly WantedReceiver[] } {
  const withRoom = receivers
    .map(({ receiver, nextAt }) => ({ receiver, nextAt, room: rooms[receiver] ?? perReceiver }))
    .filter(({ room }) => room > 0)
    .toSorted((one, other) => one.nextAt - other.nextAt)
  return {
    wanted: withRoom.filter(({ nextAt }) => nextAt <= at).map(({ receiver, room }) => ({ receiver, room })),
    nextDueAt: withRoom.find(({ nextAt }) => nextAt > at)?.nextAt ?? null,
    after: receivers.length < receiversPerClaim ? null : (receivers.at(-1)?.receiver ?? null),
  }
}

/** @param rows of the wanted receivers, the first due first; one more than wanted of each, which shows when it is due */
export function chooseDeliveries<Row extends { readonly receiver: string; readonly nextAt: number }>(
  rows: readonly Row[],
  wanted: readonly WantedReceiver[],
  { limit, late, at }: DeliveryRequest,
): { readonly chosen: readonly Row[]; readonly nextDueAt: number | null } {
  const rooms = new Map(wanted.map(({ receiver, room }) => [receiver, room]))
  const lateReceivers = new Set(late.receivers)
  let lateRoom = late.limit
  const chosen: Row[] = []
  let nextDueAt: number | null = null
  for (const row of rows) {
    const room = rooms.get(row.receiver) ?? 0
    if (room === 0 || chosen.length === limit) continue
    if (row.nextAt > at) {
      nextDueAt = earliest(nextDueAt, row.nextAt)
      continue
    }
    const isLate = lateReceivers.has(row.receiver)
    if (isLate && lateRoom === 0) continue
    if (isLate) lateRoom -= 1
    chosen.push(row)
    rooms.set(row.receiver, room - 1)
  }
  return { chosen, nextDueAt }
}

export function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other
  return Math.min(one, other)
}
