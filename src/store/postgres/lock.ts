/**
 * The rows that a transaction needs to itself. Every transaction takes its locks in one order, so that no two wait for
 * each other: keys, then jobs, then runs, each by id; a claim skips what others have locked and so waits for nobody.
 */
import type { Claim } from '../../domain/claim.ts'
import { isRunId } from '../../domain/ids.ts'
import { asJobRow, asRunRow, runColumns, type JobRow, type RunRow } from './rows.ts'
import { plainArray } from './arrays.ts'
import type { Query } from './connection.ts'
import type { JobKey } from './unit.ts'

export interface Targets {
  readonly jobs?: readonly JobKey[]
  /** All jobs of these runs. */
  readonly runs?: readonly string[]
  /** All jobs of these runs where a failure of the first one cancels the others. */
  readonly firsts?: readonly string[]
}

const columns = `job.run_id, job.job_index, job.state, job.attempt, job.max_attempts, job.claim, job.lost_starts,
  job.left_claim, job.left_starts, job.queued_at, job.started_at, job.thread, job.failures`

const selectJobs = {
  name: 'lock-jobs',
  text: `
    WITH named AS (
      SELECT run_id, job_index FROM unnest($1::uuid[], $2::integer[]) AS asked (run_id, job_index)
      UNION SELECT run_id, job_index FROM job WHERE run_id = ANY($3::uuid[])
      UNION SELECT run_id, job_index FROM run JOIN job ON job.run_id = run.id
        WHERE run.id = ANY($4::uuid[]) AND run.on_first_failure = 'cancel'
    )
    SELECT ${columns} FROM named JOIN job USING (run_id, job_index)
    ORDER BY job.run_id, job.job_index FOR UPDATE OF job`,
}
const selectRuns = {
  name: 'lock-runs',
  text: `SELECT ${runColumns} FROM run WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE`,
}
const maxInteger = 2_147_483_647

export async function lockJobs(query: Query, targets: readonly Targets[]): Promise<JobRow[]> {
  const jobs = targets.flatMap((target) => target.jobs ?? []).filter(isPossible)
  const runs = targets.flatMap((target) => target.runs ?? []).filter(isRunId)
  const firsts = targets.flatMap((target) => target.firsts ?? []).filter(isRunId)
  if (jobs.length + runs.length + firsts.length === 0) return []
  const rows = await query(selectJobs, [
    plainArray(jobs.map(({ runId }) => runId)),
    plainArray(jobs.map(({ jobIndex }) => jobIndex)),
    plainArray(runs),
    plainArray(firsts),
  ])
  return rows.map(asJobRow)
}

export async function lockRuns(query: Query, ids: readonly string[]): Promise<RunRow[]> {
  return (await query(selectRuns, [plainArray(ids)])).map(asRunRow)
}

export function isPossibleClaim(claim: Claim): boolean {
  return isPossible(claim) && Number.isInteger(claim.claim) && Math.abs(claim.claim) <= maxInteger
}

/** Whether a row can have this key at all: others the database would refuse to look for. */
export function isPossible({ runId, jobIndex }: JobKey): boolean {
  return isRunId(runId) && Number.isInteger(jobIndex) && Math.abs(jobIndex) <= maxInteger
}
