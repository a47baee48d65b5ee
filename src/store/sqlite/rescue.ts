/** Takes back what a dead process held. Only one process owns the file, so every other owner in it is dead. */
import { isSuspect, loss } from '../moves.ts'
import type { RescueReport } from '../store.ts'
import { createMoveJob, moveColumns } from './move-job.ts'
import { asJobRow } from '../rows.ts'
import type { Session } from './session.ts'

export function createRescue(session: Session) {
  const moveJob = createMoveJob(session)
  const selectHeld = session.database.prepare(`
    SELECT ${moveColumns}, max_attempts FROM job WHERE owner IS NOT NULL AND owner <> ?`)
  const selectLost = session.database.prepare(
    'SELECT lost_starts, max_attempts FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL',
  )

  return (at: number): RescueReport => {
    let requeued = 0
    let crashed = 0
    for (const job of selectHeld.all(session.owner).map(asJobRow)) {
      const move = loss(job)
      moveJob(job, move, at)
      if (move.to === 'failed') crashed += 1
      else requeued += 1
    }
    const suspects = selectLost.all().map(asJobRow).filter(isSuspect).length
    return { requeued, crashed, suspects }
  }
}
