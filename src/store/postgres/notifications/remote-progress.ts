/** Progress of jobs that run in other processes. It travels by notification alone, because it is soon out of date. */
import type { JobProgress, Progress } from '../../../domain/job.ts'
import { jobKey } from '../../../domain/claim.ts'

export interface RemoteProgress {
  hear(progress: readonly JobProgress[]): void
  of(runId: string, jobIndex: number): Progress | null
}

/** Progress is published again within this time; a job that has ended is forgotten after it. */
const keptMs = 10_000
const maxKept = 100_000

export function createRemoteProgress(): RemoteProgress {
  // In order of arrival.
  const heard = new Map<string, { readonly progress: Progress; readonly at: number }>()

  function forgetOld(now: number): void {
    for (const [name, { at }] of heard) {
      if (now - at < keptMs && heard.size <= maxKept) return
      heard.delete(name)
    }
  }

  return {
    hear(all) {
      const now = performance.now()
      for (const { runId, jobIndex, fraction, message } of all) {
        const name = jobKey({ runId, jobIndex })
        heard.delete(name)
        heard.set(name, { progress: { fraction, message }, at: now })
      }
      forgetOld(now)
    },
    of(runId, jobIndex) {
      const found = heard.get(jobKey({ runId, jobIndex }))
      return found !== undefined && performance.now() - found.at < keptMs ? found.progress : null
    },
  }
}
