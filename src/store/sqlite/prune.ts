/** Forgets finished runs, oldest first, a bounded number at a time so that no commit waits long for it. */
import { createForget } from './remove.ts'
import { runColumns, type RunRow } from '../rows.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

/** Runs can be large: one commit forgets so many jobs, or one run. */
const maxJobs = 2_000

export function createPrune(session: Session) {
  const forget = createForget(session)
  const old = 'FROM run WHERE finished_at < ? ORDER BY finished_at LIMIT ?'
  const selectOld = prepareSelect<RunRow>(session.database, runColumns, old)

  return (finishedBefore: number, limit: number, at: number): number => {
    let jobs = 0
    let pruned = 0
    for (const run of selectOld(finishedBefore, limit)) {
      jobs += run.total_jobs
      if (pruned > 0 && jobs > maxJobs) break
      pruned += 1
      forget(run)
    }
    return pruned + session.keys.prune(limit, at)
  }
}
