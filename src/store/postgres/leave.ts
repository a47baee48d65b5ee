/** Notes that the process was asked to leave: should it die from now on, the jobs that it runs have lost no start. */
import { soonAfterStartMs } from '../../domain/retry.ts'
import type { Query } from './connection.ts'

// Locked in the order in which everybody locks them.
const update = {
  name: 'leave',
  text: `
    WITH own AS (
      SELECT run_id, job_index FROM job WHERE owner = $1 ORDER BY run_id, job_index FOR UPDATE
    )
    UPDATE job SET left_claim = claim, left_starts = left_starts + (started_at > $2)::integer
    FROM own WHERE job.run_id = own.run_id AND job.job_index = own.job_index AND owner = $1
    RETURNING 1`,
}

/** @returns how many jobs it runs */
export async function leave(query: Query, owner: string, at: number): Promise<number> {
  return (await query(update, [owner, at - soonAfterStartMs])).length
}
