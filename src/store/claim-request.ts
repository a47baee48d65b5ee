/** A claim of jobs: what it asks for, what it returns, and its free slots one by one. */
import type { ClaimedJob, FreeSlots } from '../domain/claim.ts'
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
  /** Within a kind by priority, then by due time, then in order of acceptance. */
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
