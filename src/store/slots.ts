/** The free slots of a claim, one by one. */
import type { FreeSlots } from '../domain/claim.ts'
import type { TaskKind } from '../domain/task.ts'

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
