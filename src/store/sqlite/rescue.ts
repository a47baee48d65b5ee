/** Takes back what a dead process held. Only one process owns the file, so every other owner in it is dead. */
import type { JobError } from '../../domain/job.ts'
import { maxLostStarts } from '../../domain/retry.ts'
import type { RescueReport } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import { asJobRow, type JobRow } from './rows.ts'
import type { Session } from './session.ts'

export function createRescue(session: Session) {
  const moveJob = createMoveJob(session)
  const selectHeld = session.database.prepare(`
    SELECT ${moveColumns}, max_attempts, queued_at FROM job WHERE owner IS NOT NULL AND owner <> ?`)
  const selectLost = session.database.prepare(
    'SELECT lost_starts, max_attempts FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL',
  )

  return (at: number): RescueReport => {
    let requeued = 0
    let crashed = 0
    for (const job of selectHeld.all(session.owner).map(asJobRow)) {
      const lostStarts = job.lost_starts + 1
      const unspent = { attempt: job.attempt - 1, lostStarts }
      if (lostStarts >= maxLostStarts(job.max_attempts)) {
        moveJob(job, { to: 'failed', ...unspent, error: crash(lostStarts) }, at)
        crashed += 1
      } else {
        // Due since it was accepted: it goes before everything that was queued behind it.
        moveJob(job, { to: 'queued', ...unspent, runAt: job.queued_at }, at)
        requeued += 1
      }
    }
    const suspects = selectLost.all().map(asJobRow).filter(isSuspect).length
    return { requeued, crashed, suspects }
  }
}

/** Whether one more lost start is the last: such a job runs alone, so that no innocent one is blamed with it. */
export function isSuspect(job: Pick<JobRow, 'lost_starts' | 'max_attempts'>): boolean {
  return job.lost_starts >= maxLostStarts(job.max_attempts) - 1
}

function crash(lostStarts: number): JobError {
  return { code: 'crashed', message: `the whole process died during ${lostStarts} starts of this job` }
}
