/** What a transaction changes of each run, for whoever listens; a run that it changes twice is told once. */
import type { Claim } from '../domain/claim.ts'
import type { RunChange } from '../domain/run.ts'
import type { RunRow } from './rows.ts'

export interface Changes {
  /** @param voided the claim of a job that was running and is cancelled by this */
  note(run: Pick<RunRow, 'id' | 'version' | 'state' | 'answer_status'>, voided?: Claim): void
  /** All of them, and begins anew. */
  take(): RunChange[]
}

export function createChanges(): Changes {
  const byRun = new Map<string, RunChange>()
  return {
    note({ id: runId, version, state, answer_status: status }, claim) {
      const before = byRun.get(runId)?.voided ?? []
      const voided = claim === undefined ? before : [...before, claim]
      byRun.set(runId, { runId, version, state, isAnswered: status !== null, voided })
    },
    take() {
      const taken = [...byRun.values()]
      byRun.clear()
      return taken
    },
  }
}
