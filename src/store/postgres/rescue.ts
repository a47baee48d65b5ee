/** Transactions of their own: jobs of processes that are gone are taken back, and jobs that nobody here runs. */
import type { Claim } from '../../domain/claim.ts'
import { holds, isSuspect, release } from './moves.ts'
import { asJobRow, type JobRow } from './rows.ts'
import type { Held } from './held.ts'
import { isAbandoned } from './heartbeats.ts'
import { lockJobs, lockRuns } from './lock.ts'
import { rescue } from './operations.ts'
import type { Query } from './connection.ts'
import type { Prepare, Prepared } from './prepared.ts'
import { fence, type Sender } from './transaction.ts'
import { createUnit, type Unit } from './unit.ts'

const selectLost = {
  name: 'select-lost',
  text: 'SELECT run_id, job_index, lost_starts, max_attempts FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL',
}
/** Of processes that are gone: they have given up their lease, or have one of the heartbeats that are given. */
const selectAbandoned = {
  name: 'select-abandoned-jobs',
  text: `
    SELECT run_id, job_index, claim, lost_starts, max_attempts FROM job
    WHERE owner IS NOT NULL AND owner <> $1 AND ${isAbandoned('$2')}
    ORDER BY run_id, job_index`,
}
const selectOwned = { name: 'select-owned', text: 'SELECT run_id, job_index, claim FROM job WHERE owner = $1' }

/** @param silent heartbeats of processes that are given up, beside those that have no lease */
export function prepareRescue(silent: readonly string[], at: number): Prepare {
  return async (query, sender, beginning) => {
    const abandonedBy = [sender.owner, silent]
    const [lost, rows] = await Promise.all([query(selectLost), query(selectAbandoned, abandonedBy), beginning])
    const suspects = lost.map(asJobRow).filter(isSuspect).map(claimOfRow)
    const held = rows.map(asJobRow)
    const abandoned = held.map(claimOfRow)
    // Those whose crash may cancel the others of their run.
    const firsts = held.filter((job) => job.job_index === 0 && isSuspect(job)).map((job) => job.run_id)
    const jobs = await lockJobs(query, [{ jobs: abandoned, firsts }])
    return prepared(query, sender, jobs, (unit) => rescue(unit, abandoned, suspects, at))
  }
}

/**
 * Hands back what this process owns without having it; its value is the list of claims that it holds without owning
 * their jobs. Only claims that were held before the read can be judged by it: later ones are not in it.
 */
export function prepareReclaim(held: Held, at: number): Prepare {
  return async (query, sender, beginning) => {
    const before = held.claims()
    const [rows] = await Promise.all([query(selectOwned, [sender.owner]), beginning])
    const owned = rows.map(asJobRow).map(claimOfRow)
    const names = new Set(owned.map(claimName))
    const lost = before.filter((claim) => !names.has(claimName(claim)))
    const orphans = owned.filter((claim) => !held.has(claim))
    const jobs = await lockJobs(query, [{ jobs: orphans }])
    return prepared(query, sender, jobs, (unit) => {
      for (const orphan of orphans) {
        const job = unit.job(orphan)
        if (job !== undefined && holds(orphan, job)) unit.move(job, release(job, at), at)
      }
      return lost
    })
  }
}

function claimOfRow(job: JobRow): Claim {
  return { runId: job.run_id, jobIndex: job.job_index, claim: job.claim }
}

function claimName({ runId, jobIndex, claim }: Claim): string {
  return `${runId}/${jobIndex}/${claim}`
}

async function prepared(
  query: Query,
  sender: Sender,
  jobs: readonly JobRow[],
  run: (unit: Unit) => unknown,
): Promise<Prepared> {
  const writes = jobs.length > 0
  const runIds = [...new Set(jobs.map((job) => job.run_id))]
  const [runs] = await Promise.all([lockRuns(query, runIds), writes ? fence(query, sender) : null])
  const unit = createUnit(jobs, runs)
  const value = run(unit)
  return { unit, values: [value], given: [], writes }
}
