/** Forgets finished runs, oldest first, a bounded number at a time so that no commit waits long for it. */
import { asRunRow, runColumns } from './rows.ts'
import type { JobState } from '../../domain/job.ts'
import type { Session } from './session.ts'

/** Runs can be large: one commit forgets so many jobs, or one run. */
const maxJobs = 2_000

export function createPrune({ database, tally }: Session) {
  const selectOld = database.prepare(`SELECT ${runColumns} FROM run WHERE finished_at < ? ORDER BY finished_at LIMIT ?`)
  const deleteJobs = database.prepare('DELETE FROM job WHERE run_id = ? RETURNING state')
  const deleteRun = database.prepare('DELETE FROM run WHERE id = ?')

  return (finishedBefore: number, limit: number): number => {
    let jobs = 0
    let pruned = 0
    for (const run of selectOld.all(finishedBefore, limit).map(asRunRow)) {
      jobs += run.total_jobs
      if (pruned > 0 && jobs > maxJobs) break
      pruned += 1
      for (const { state } of deleteJobs.all(run.id)) tally.countJob(state as JobState, null)
      deleteRun.run(run.id)
      tally.countRun(run.state, null)
    }
    return pruned
  }
}
