/** Steps of jobs, as readers and attempts get them; `save.ts` writes them. */
import type { Claim } from '../../../domain/claim.ts'
import { isRunId } from '../../../domain/ids.ts'
import { ownsClaim } from '../../../domain/run/transitions.ts'
import { firstOfEachName, stepsPerPage, type StepPage, type StepRecord } from '../../../domain/step.ts'
import type { Query } from '../connection/connection.ts'
import { readRecord } from './records.ts'

const selectNames = {
  name: 'select-step-names',
  text: 'SELECT job, place, name, finished_at FROM step WHERE run = $1 AND job = ANY($2::integer[]) ORDER BY job, place',
}
const selectPage = {
  name: 'select-steps',
  text: `
    SELECT place, name, value FROM step WHERE run = $1 AND job = $2 AND place >= $3 ORDER BY place LIMIT ${stepsPerPage}`,
}

/** Of these jobs of a run; the lookup takes the number that the record has, for others can be stored by then. */
export async function listSteps(
  query: Query,
  runId: string,
  jobs: readonly number[],
): Promise<(jobIndex: number, count: number) => StepRecord[]> {
  const rows = jobs.length === 0 ? [] : await query(selectNames, [runId, jobs])
  return (jobIndex, count) => {
    const ofJob = rows.filter(({ job, place }) => job === jobIndex && Number(place) < count)
    return firstOfEachName(ofJob.map((row) => ({ name: String(row['name']), finishedAt: Number(row['finished_at']) })))
  }
}

/** Null where the claim does not own its job. */
export async function readSteps(query: Query, claim: Claim, from: number): Promise<StepPage | null> {
  if (!isRunId(claim.runId)) return null
  const rows = await query(selectPage, [claim.runId, claim.jobIndex, from])
  // After the steps: where the claim still owns the job, none of them was dropped before they were read.
  const stored = await readRecord(query, claim.runId)
  if (stored === undefined || !ownsClaim(stored.run, claim)) return null
  const last = rows.at(-1)
  const next = last === undefined || rows.length < stepsPerPage ? null : Number(last['place']) + 1
  return { steps: rows.map((row) => ({ name: String(row['name']), value: String(row['value']) })), next }
}
