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

/** A job with its new state. */
interface SettledJob {
  readonly index: number
  readonly state: JobState
  readonly error: JobError | null
}

/**
 * The answer that a job's new state decides, or null while it is open.
 * @param counts of the run, with this job's new state counted in
 */
export function decideAnswer(mode: RespondMode, counts: JobCounts, job: SettledJob): Answer | null {
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

function statusOf(job: SettledJob): number {
  return job.state === 'completed' ? 200 : failureStatusOf(job.error?.status)
}

/**
 * Statuses that a task's error can give the answer: those that speak of the request and ask nothing of who receives them.
 * Others would not be a task's to say: 401 and 407 want a challenge, and would look like a refusal of the service; 408,
 * 421, 425 and 429 have clients send the request again, though its answer is decided; 405, 406, 411 to 417, 426, 428 and
 * 431 are about the form of the HTTP message.
 */
export const failureStatuses: readonly number[] = [400, 402, 403, 404, 409, 410, 418, 422, 423, 424, 451]

/** @param own status of the error, or of an answer that was stored; 500 where it cannot be that of an answer */
export function failureStatusOf(own: number | undefined): number {
  return own !== undefined && failureStatuses.includes(own) ? own : 500
}
