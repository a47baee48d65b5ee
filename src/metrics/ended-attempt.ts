/** An attempt that has ended, as the numbers of the service see it. */
import type { ClaimedJob } from '../domain/claim.ts'
import type { AttemptOutcome } from '../domain/job.ts'

export interface EndedAttempt {
  readonly job: Pick<ClaimedJob, 'task' | 'kind' | 'thread' | 'waitedMs'>
  readonly outcome: AttemptOutcome
  readonly tookMs: number
  /** Whether the job is settled with it for good. */
  readonly isFinal: boolean
  /** Whether it was stopped as cancelled though no cancel had ended its claim. */
  readonly wasStopped: boolean
}
