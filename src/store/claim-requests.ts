/** What claims of jobs and of deliveries ask for and return, and what is chosen in the same way by both engines. */
import type { ClaimedJob, FreeSlots } from '../domain/claim.ts'
import type { ClaimedDelivery } from '../domain/run.ts'
import type { Rate, TaskKind } from '../domain/task.ts'

export interface ClaimRequest {
  readonly slots: readonly FreeSlots[]
  /** How many more jobs of these tasks may be claimed; a task that is not named has no limit. */
  readonly taskLimits: Readonly<Record<string, number>>
  /** Tasks whose jobs run in the child process beside the thread that they are claimed for; absent without any. */
  readonly isolated?: ReadonlySet<string>
  /** Of tasks whose jobs may start only so often, over all processes that share the store; absent: none. */
  readonly rates?: Readonly<Record<string, Rate>>
  /** `suspects`: at most one job, and only one that fails when it loses one more start. */
  readonly only: 'all' | 'suspects'
  readonly at: number
}

export interface ClaimResult {
  /** Within a kind by priority, then by due time, then in order of acceptance; on PostgreSQL by run id in place of that. */
  readonly jobs: readonly ClaimedJob[]
  /** When the next waiting job that cannot start now will, of the kinds that have a slot left; null without one. */
  readonly nextDueAt: number | null
  /** Tasks whose rate is used up, and when the next of their jobs may start; that counts for `nextDueAt`. Absent: none. */
  readonly ratedUntil?: Readonly<Record<string, number>>
}

/** One entry per free slot of the kind, in turn over the threads, so that the load spreads. */
export function threadsOf(slots: readonly FreeSlots[], kind: TaskKind): string[] {
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

/** Where a job of the task runs: on the thread, or in the process beside it. */
export function placeOf({ isolated }: Pick<ClaimRequest, 'isolated'>, task: string, thread: string): string {
  return isolated?.has(task) === true ? thread.replace('worker', 'process') : thread
}

export interface DeliveryRequest {
  /** Number of deliveries to claim, at least one. */
  readonly limit: number
  /** For how many of one receiver there is room. */
  readonly perReceiver: number
  /** The same for receivers that have another number. */
  readonly rooms: Readonly<Record<string, number>>
  /** Of these receivers together, no more than `limit` are claimed. */
  readonly late: { readonly receivers: readonly string[]; readonly limit: number }
  /** Only receivers that come after this one; empty: all. */
  readonly after: string
  /** Only these receivers, whatever `after` is; absent: all. */
  readonly among?: readonly string[]
  readonly at: number
}

export interface DeliveryClaims {
  readonly deliveries: readonly ClaimedDelivery[]
  /** When the next delivery is due, of the receivers that were looked at and have room; null without one. */
  readonly nextDueAt: number | null
  /** The last receiver that was looked at; null where there are no others after it. */
  readonly after: string | null
}

/** A receiver that has pending deliveries, and how many of them are wanted. */
export interface Wanted {
  readonly receiver: string
  readonly room: number
}

/** A delivery that nobody has sent for so long does not keep its run beyond the retention. */
export const maxUnsentMs = 86_400_000
/** Of one run, the latest: requested retries can make them without end. */
export const maxShownDeliveries = 100
/** Receivers that one claim looks at: what waits for its commit must not wait long. */
export const receiversPerClaim = 200

/** @param receivers with pending deliveries, each with the time of the first, in order of their names */
export function wantedOf(
  receivers: readonly { readonly receiver: string; readonly nextAt: number }[],
  { perReceiver, rooms, at }: DeliveryRequest,
): Pick<DeliveryClaims, 'nextDueAt' | 'after'> & { readonly wanted: readonly Wanted[] } {
  const open = receivers
    .map(({ receiver, nextAt }) => ({ receiver, nextAt, room: rooms[receiver] ?? perReceiver }))
    .filter(({ room }) => room > 0)
    .toSorted((one, other) => one.nextAt - other.nextAt)
  return {
    wanted: open.filter(({ nextAt }) => nextAt <= at).map(({ receiver, room }) => ({ receiver, room })),
    nextDueAt: open.find(({ nextAt }) => nextAt > at)?.nextAt ?? null,
    after: receivers.length < receiversPerClaim ? null : (receivers.at(-1)?.receiver ?? null),
  }
}

/** @param rows of the receivers, each with one more than is wanted, the first to be due first */
export function chosenOf<Row extends { readonly receiver: string; readonly nextAt: number }>(
  rows: readonly Row[],
  wanted: readonly Wanted[],
  { limit, late, at }: DeliveryRequest,
): { readonly chosen: readonly Row[]; readonly nextDueAt: number | null } {
  const left = new Map(wanted.map(({ receiver, room }) => [receiver, room]))
  const isLate = new Set(late.receivers)
  let leftOfLate = late.limit
  const chosen: Row[] = []
  let nextDueAt: number | null = null
  for (const row of rows) {
    const room = left.get(row.receiver) ?? 0
    if (room === 0 || chosen.length === limit) continue
    if (row.nextAt > at) nextDueAt = earliest(nextDueAt, row.nextAt)
    else if (!isLate.has(row.receiver) || leftOfLate > 0) {
      if (isLate.has(row.receiver)) leftOfLate -= 1
      chosen.push(row)
      left.set(row.receiver, room - 1)
    }
  }
  return { chosen, nextDueAt }
}

export function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other
  return Math.min(one, other)
}
