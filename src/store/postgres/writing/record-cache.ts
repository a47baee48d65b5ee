/**
 * Keeps the records of runs whose jobs this process runs, so that settling a job needs no read. The cache may be outdated:
 * a write compares the revision, and fails if another process has changed the record.
 */
import type { Stored } from './unit-of-work.ts'

export interface RecordCache {
  get(runId: string): Stored | undefined
  /** Keeps the record as a commit left it. */
  keep(stored: Stored): void
  forget(runId: string): void
  /** Another process has committed the version. */
  hear(runId: string, version: number): void
}

/** Jobs of the runs that are kept. */
const maxJobs = 32_768

export function createRecordCache(): RecordCache {
  const records = new Map<string, Stored>()
  let jobs = 0

  function forget(runId: string): void {
    const stored = records.get(runId)
    if (stored === undefined) return
    records.delete(runId)
    jobs -= stored.run.jobs.length
  }

  return {
    get: (runId) => records.get(runId),
    keep(stored) {
      const { id, jobs: all, state } = stored.run
      // Two connections write, and their replies can overtake each other.
      if ((records.get(id)?.revision ?? 0) > stored.revision) return
      forget(id)
      if (state !== 'running' || all.every(({ holder }) => holder === null)) return
      records.set(id, stored)
      jobs += all.length
      // A map iterates in order of insertion: the oldest first.
      for (const oldest of records.keys()) {
        if (jobs <= maxJobs) break
        forget(oldest)
      }
    },
    forget,
    hear(runId, version) {
      if ((records.get(runId)?.run.version ?? version) < version) forget(runId)
    },
  }
}
