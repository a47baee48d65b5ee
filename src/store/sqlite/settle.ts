/** The settling verbs: each applies only while the job runs under the claim that it names. */
import type { Claim } from '../../domain/claim.ts'
import type { JobError } from '../../domain/job.ts'
import type { Settled } from '../store.ts'
import { createMoveJob, moveColumns, type Move } from './move-job.ts'
import { asJobRow, parseFailures, type JobRow } from './rows.ts'
import type { Session } from './session.ts'

/** Retries on request can add failures without end; the latest are kept. */
const maxFailures = 100

export function createSettle(session: Session) {
  const applyMove = createMoveJob(session)
  const selectJob = session.database.prepare(`
    SELECT ${moveColumns}, claim FROM job WHERE run_id = ? AND job_index = ?`)

  function settle(claim: Claim, at: number, moveOf: (job: JobRow) => Move): Settled {
    const row = selectJob.get(claim.runId, claim.jobIndex)
    if (row === undefined) return 'stale'
    const job = asJobRow(row)
    if (job.claim !== claim.claim || job.state !== 'running') return 'stale'
    applyMove(job, moveOf(job), at)
    return 'settled'
  }

  return {
    complete: (claim: Claim, result: string, at: number): Settled =>
      settle(claim, at, () => ({ to: 'completed', result })),
    fail: (claim: Claim, error: JobError, retryAt: number | null, at: number): Settled =>
      settle(claim, at, (job) => {
        const failure = { attempt: job.attempt, startedAt: job.started_at ?? at, finishedAt: at, error }
        const failures = [...parseFailures(job.failures), failure].slice(-maxFailures)
        return retryAt === null ? { to: 'failed', error, failures } : { to: 'retrying', runAt: retryAt, failures }
      }),
    release: (claim: Claim, at: number): Settled =>
      settle(claim, at, (job) => ({ to: 'queued', attempt: job.attempt - 1, runAt: at })),
  }
}
