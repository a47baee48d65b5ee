/** Results that due jobs have waited for, where they are not in the record of their run. */
import { jobAt, type Job } from '../../../domain/run/aggregate.ts'
import { isApart, resultPart } from '../../apart.ts'
import type { Query } from '../connection/connection.ts'
import type { Stored } from '../writing/unit.ts'

/** null where the job has none. */
export type ResultOf = (runId: string, job: Job, jobIndex: number) => string | null

const selectResults = {
  name: 'select-results',
  text: `
    SELECT payload.run, payload.job, payload.value
    FROM unnest($1::uuid[], $2::integer[]) AS asked (run, job)
    JOIN payload ON payload.run = asked.run AND payload.job = asked.job AND payload.part = ${resultPart}`,
}

/** @param records of the due jobs, which the transaction has locked */
export async function readResults(
  query: Query,
  due: readonly { readonly runId: string; readonly jobIndex: number }[],
  records: readonly Stored[],
): Promise<ResultOf> {
  const runs = new Map(records.map(({ run }) => [run.id, run]))
  const asked = due.flatMap(({ runId, jobIndex }) => {
    const run = runs.get(runId)
    const after = run === undefined ? [] : (jobAt(run, jobIndex).chain?.after ?? [])
    return after.flatMap((job) => (isApart(run?.jobs[job]?.result) ? [{ runId, job }] : []))
  })
  const texts = new Map<string, string>()
  if (asked.length > 0) {
    const values = [asked.map(({ runId }) => runId), asked.map(({ job }) => job)]
    for (const row of await query(selectResults, values)) {
      texts.set(`${String(row['run'])} ${String(row['job'])}`, String(row['value']))
    }
  }
  return (runId, { result }, jobIndex) => (isApart(result) ? (texts.get(`${runId} ${jobIndex}`) ?? null) : result)
}
