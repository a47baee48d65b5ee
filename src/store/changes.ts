/** Collects the changes of a transaction for its subscribers: one per run, however often the run changed. */
import type { RunChange } from '../domain/run.ts'

export interface Changes {
  note(change: RunChange): void
  /** Returns all of them, and forgets them. */
  take(): RunChange[]
}

export function createChanges(): Changes {
  const byRun = new Map<string, RunChange>()
  return {
    note(change) {
      const before = byRun.get(change.runId)
      const isDeliveryDue = before?.isDeliveryDue === true || change.isDeliveryDue === true
      const voided = [...(before?.voided ?? []), ...change.voided]
      byRun.set(change.runId, { ...change, voided, ...(isDeliveryDue && { isDeliveryDue }) })
    },
    take() {
      const taken = [...byRun.values()]
      byRun.clear()
      return taken
    },
  }
}
