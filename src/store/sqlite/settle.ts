/** The settling verbs: each applies only while the job runs under the claim that it names. */
import type { Claim } from '../../domain/claim.ts'
import type { JobError } from '../../domain/job.ts'
import { failure, holds, release, type Move } from '../moves.ts'
import type { JobRow } from '../rows.ts'
import type { Settled } from '../store.ts'
import { createMoveJob, lossColumns } from './move-job.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

export function createSettle(session: Session) {
  const { database, liveRuns } = session
  const applyMove = createMoveJob(session)
  const selectJob = prepareSelect<JobRow>(database, lossColumns, 'FROM job WHERE run_id = ? AND job_index = ?')

  function settle(claim: Claim, at: number, moveOf: (job: JobRow) => Move): Settled {
    const job = liveRuns.findJob(claim.runId, claim.jobIndex) ?? selectJob(claim.runId, claim.jobIndex)[0]
    if (job === undefined || !holds(claim, job)) return 'stale'
    applyMove(job, moveOf(job), at)
    return 'settled'
  }

  return {
    complete: (claim: Claim, result: string, at: number): Settled =>
      settle(claim, at, () => ({ to: 'completed', result })),
    fail: (claim: Claim, error: JobError, retryAt: number | null, at: number): Settled =>
      settle(claim, at, (job) => failure(job, error, retryAt, at)),
    release: (claim: Claim, at: number): Settled => settle(claim, at, (job) => release(job, at)),
  }
}
