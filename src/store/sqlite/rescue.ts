/** Takes back what a dead process held. Only one process owns the file, so every other owner in it is dead. */
import { isSuspect, loss } from '../moves.ts'
import type { RescueReport } from '../store.ts'
import { createDueTimes } from './due-times.ts'
import { createMoveJob, lossColumns } from './move-job.ts'
import type { JobRow } from '../rows.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

export function createRescue(session: Session) {
  const moveJob = createMoveJob(session)
  const { database } = session
  const dueTimes = createDueTimes(session)
  const held = 'FROM job WHERE owner IS NOT NULL AND owner <> ? ORDER BY run_id, job_index'
  const selectHeld = prepareSelect<JobRow>(database, lossColumns, held)
  const selectState = prepareSelect<JobRow>(database, 'state', 'FROM job WHERE run_id = ? AND job_index = ?')
  const lost = 'FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL'
  const selectLost = prepareSelect<JobRow>(database, 'lost_starts, max_attempts', lost)

  return (at: number): RescueReport => {
    let requeued = 0
    let crashed = 0
    for (const job of selectHeld(session.owner)) {
      // A first job that crashed just now may have cancelled the others of its run.
      if (selectState(job.run_id, job.job_index)[0]?.state !== 'running') continue
      const move = loss(job)
      moveJob(job, move, at)
      if (move.to === 'failed') crashed += 1
      else requeued += 1
    }
    dueTimes.bound(at)
    const suspects = selectLost().filter(isSuspect).length
    return { requeued, crashed, suspects }
  }
}
