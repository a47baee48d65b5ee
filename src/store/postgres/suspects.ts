/** Claims one waiting job for which one more lost start is the last, in a transaction of its own. */
import { isSuspect } from './moves.ts'
import { asJobRow } from './rows.ts'
import { slotFor } from '../slots.ts'
import type { ClaimRequest } from '../store.ts'
import { claimedJob, returned } from './claim.ts'
import type { Query } from './connection.ts'
import { countJob } from './counts.ts'
import { lockRuns } from './lock.ts'
import type { Prepare } from './prepared.ts'
import { runsHere } from './queues.ts'
import { fence } from './transaction.ts'
import { createUnit } from './unit.ts'

const selectLost = {
  name: 'select-lost-jobs',
  text: `
    SELECT run_id, job_index, task, kind, lost_starts, max_attempts FROM job
    WHERE lost_starts > 0 AND run_at IS NOT NULL AND (is_due OR run_at <= $1) AND ${runsHere('task', '$2')}
    ORDER BY run_at, run_id, job_index`,
}
const claimOne = {
  name: 'claim-one-job',
  text: `
    WITH free AS (
      SELECT run_id, job_index, state, run_at FROM job
      WHERE run_id = $1 AND job_index = $2 AND run_at IS NOT NULL FOR UPDATE SKIP LOCKED
    )
    UPDATE job SET state = 'running', claim = claim + 1, attempt = attempt + 1, owner = $3, thread = $4,
      started_at = $5, run_at = NULL
    FROM free WHERE job.run_id = free.run_id AND job.job_index = free.job_index
    RETURNING ${returned}, free.state AS waited_as, free.run_at AS due_at`,
}

/** Its value is a claim's result. @param tasks that run here; null: any */
export function prepareSuspect(tasks: readonly string[] | null, request: ClaimRequest): Prepare {
  return async (query, sender, beginning) => {
    await beginning
    const row = await takeOne(query, sender.owner, tasks, request)
    if (row === undefined)
      return { unit: createUnit([], []), values: [{ jobs: [], nextDueAt: null }], given: [], writes: false }
    const job = claimedJob(row, request.at)
    const [runs] = await Promise.all([lockRuns(query, [job.runId]), fence(query, sender)])
    const unit = createUnit([], runs)
    countJob(unit.counts, row['waited_as'] === 'retrying' ? 'retrying' : 'queued', 'running')
    unit.touch(job.runId)
    return { unit, values: [{ jobs: [job], nextDueAt: null }], given: [job], writes: true }
  }
}

async function takeOne(query: Query, owner: string, tasks: readonly string[] | null, request: ClaimRequest) {
  const { at } = request
  for (const job of (await query(selectLost, [at, tasks])).map(asJobRow)) {
    const slot = slotFor(request, job)
    if (slot === undefined || !isSuspect(job)) continue
    const [row] = await query(claimOne, [job.run_id, job.job_index, owner, slot.thread, at])
    // Another process may have taken it meanwhile.
    if (row !== undefined) return row
  }
  return undefined
}
