/** When a run's answer is decided and by which job. The store applies this within the commit that settles a job. */
import { isFinalJob, type JobCounts, type JobError, type JobState } from './job.ts'

export const respondModes = ['first', 'race', 'any', 'all', 'none'] as const
export type RespondMode = (typeof respondModes)[number]

export interface Answer {
  readonly mode: RespondMode
  /** The deciding job; null where all of them decided together. */
  readonly jobIndex: number | null
  /** HTTP status of the answer: 200, or that of the failure. */
  readonly status: number
}

interface Settled {
  readonly index: number
  readonly state: JobState
  readonly error: JobError | null
}

/**
 * The answer that a job's new state decides, or null while it is open.
 * @param counts of the run, with this job's new state counted in
 */
export function decideAnswer(mode: RespondMode, counts: JobCounts, job: Settled): Answer | null {
  if (!isFinalJob(job.state)) return null
  const byJob = (status: number): Answer => ({ mode, jobIndex: job.index, status })
  switch (mode) {
    case 'first':
      return job.index === 0 ? byJob(statusOf(job)) : null
    case 'race':
      return byJob(statusOf(job))
    case 'any':
      if (job.state === 'completed') return byJob(200)
      // Were another job completed, the answer would be decided already.
      return counts.open === 0 ? { mode, jobIndex: null, status: 500 } : null
    case 'all':
      if (counts.open > 0) return null
      return { mode, jobIndex: null, status: counts.failed + counts.cancelled === 0 ? 200 : 500 }
    case 'none':
      return null
  }
}

function statusOf(job: Settled): number {
  if (job.state === 'completed') return 200
  const own = job.error?.status
  return own !== undefined && Number.isInteger(own) && own >= 400 && own <= 499 ? own : 500
}
