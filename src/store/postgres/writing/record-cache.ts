/**
 * Records of runs of which this process runs jobs, as its last commit left them: what is settled next is not read first.
 * Nothing depends on them. A record that another process has changed is found out by its revision when it is written.
 */
import type { Stored } from './unit-of-work.ts'

export interface RecordCache {
  get(runId: string): Stored | undefined
  /** As a commit has left it. */
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
      // Two connections write here, and what they reply can pass each other.
      if ((records.get(id)?.revision ?? 0) > stored.revision) return
      forget(id)
      if (state !== 'running' || all.every(({ holder }) => holder === null)) return
      records.set(id, stored)
      jobs += all.length
      // The oldest first: a map has them in the order in which they came.
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
