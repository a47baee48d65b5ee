/** The free slots of a claim, one by one. */
import type { FreeSlots } from '../domain/claim.ts'
import type { TaskKind } from '../domain/task.ts'
import type { ClaimRequest } from './store.ts'

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

/** A slot that may take the job, within the limit of its task. */
export function slotFor(
  { slots, taskLimits }: ClaimRequest,
  job: { readonly kind: TaskKind; readonly task: string },
): FreeSlots | undefined {
  if (Object.hasOwn(taskLimits, job.task) && (taskLimits[job.task] ?? 0) <= 0) return undefined
  return slots.find(({ kind, count }) => kind === job.kind && count > 0)
}

/** Where a job of the task runs: on the thread, or in the process beside it. */
export function placeOf({ isolated }: Pick<ClaimRequest, 'isolated'>, task: string, thread: string): string {
  return isolated?.has(task) === true ? thread.replace('worker', 'process') : thread
}
