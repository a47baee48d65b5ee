/** Notes that the process was asked to leave: should it die from now on, the jobs that it runs have lost no start. */
import { soonAfterStartMs } from '../../domain/retry.ts'
import type { Session } from './session.ts'

export function createLeave({ database, liveRuns, owner }: Session) {
  const update = database.prepare(`
    UPDATE job SET left_claim = claim, left_starts = left_starts + (started_at > ?) WHERE owner = ?`)

  return (at: number): number => {
    const { changes } = update.run(at - soonAfterStartMs, owner)
    // What is kept there of these jobs is no longer all that releasing them needs.
    liveRuns.clear()
    return Number(changes)
  }
}
