/** What a transaction changes of each run, for whoever listens; a run that it changes twice is told once. */
import type { RunChange } from '../../domain/run.ts'

export interface Changes {
  /** @param voided a job that was running and is cancelled by this */
  note(change: Omit<RunChange, 'voided'>, voided?: number): void
  /** All of them, and begins anew. */
  take(): RunChange[]
}

export function createChanges(): Changes {
  const byRun = new Map<string, RunChange>()
  return {
    note(change, voided) {
      const before = byRun.get(change.runId)?.voided ?? []
      byRun.set(change.runId, { ...change, voided: voided === undefined ? before : [...before, voided] })
    },
    take() {
      const taken = [...byRun.values()]
      byRun.clear()
      return taken
    },
  }
}
