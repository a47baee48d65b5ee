/** Forgets a run: its jobs, its tags and its key with it. */
import type { JobState } from '../../domain/job.ts'
import type { RemoveResult } from '../store.ts'
import { runColumns, type RunRow } from '../rows.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

/** Forgets a run in the transaction under way; it must be finished. */
export function createForget({ database, tally, keys }: Session) {
  const deleteJobs = database.prepare('DELETE FROM job WHERE run_id = ? RETURNING state')
  const deleteTag = database.prepare('DELETE FROM run_tag WHERE tag = ? AND run_id = ?')
  const deleteRun = database.prepare('DELETE FROM run WHERE id = ?')

  return (run: RunRow): void => {
    for (const { state } of deleteJobs.all(run.id)) tally.countJob(state as JobState, null)
    for (const tag of JSON.parse(run.tags) as string[]) deleteTag.run(tag, run.id)
    keys.forget(run.id)
    deleteRun.run(run.id)
    tally.countRun(run.state, null)
  }
}

export function createRemove(session: Session) {
  const forget = createForget(session)
  const selectRun = prepareSelect<RunRow>(session.database, runColumns, 'FROM run WHERE id = ?')

  return (runId: string): RemoveResult => {
    const [run] = selectRun(runId)
    if (run === undefined) return 'not-found'
    if (run.state === 'running') return 'active'
    forget(run)
    return 'removed'
  }
}
