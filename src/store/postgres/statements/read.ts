/** Reads a run or a job for a view, as of one moment. */
import { isRunId } from '../../../domain/ids.ts'
import type { JobInput, JobRecord } from '../../../domain/job.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import type { RunRecord } from '../../../domain/run.ts'
import { isApart } from '../../apart.ts'
import { jobInput, jobRecord, runRecord } from '../../run-record.ts'
import type { Query } from '../connection/connection.ts'
import { readDeliveries } from './deliveries.ts'
import { createWanted, steadily } from './payloads.ts'
import { readRecord } from './records.ts'

export async function readRun(query: Query, id: string): Promise<RunRecord | null> {
  if (!isRunId(id)) return null
  return steadily(async () => {
    const stored = await readRecord(query, id)
    return stored === undefined ? null : showRun(query, stored.run)
  })
}

/** @throws Changed if the run has changed since */
async function showRun(query: Query, run: Run): Promise<RunRecord> {
  const wanted = createWanted()
  runRecord(run, wanted.noteAll(run.id))
  const [outside, deliveries] = await Promise.all([
    wanted.readAll(query, run.id),
    run.webhook === null ? [] : readDeliveries(query, run.id),
  ])
  return runRecord(run, outside, deliveries)
}

/** The view of a run as a commit left it; null if some of its texts are kept apart. */
export function shownWhole(run: Run): RunRecord | null {
  if (run.webhook !== null) return null
  const isWhole = run.jobs.every(
    ({ result, error, failures, steps }) =>
      !isApart(result) && !isApart(error) && !failures.some(isApart) && steps === null,
  )
  return isWhole ? runRecord(run, { textOf: () => '', stepsOf: () => [] }) : null
}

export async function readJob(query: Query, runId: string, jobIndex: number): Promise<JobRecord | null> {
  if (!isRunId(runId)) return null
  return steadily(async () => {
    const stored = await readRecord(query, runId)
    const job = stored?.run.jobs[jobIndex]
    if (stored === undefined || job === undefined) return null
    const wanted = createWanted()
    jobRecord(stored.run, job, jobIndex, wanted.noteAll(runId))
    return jobRecord(stored.run, job, jobIndex, await wanted.readAll(query, runId))
  })
}

export async function readInput(query: Query, runId: string, jobIndex: number): Promise<JobInput | null> {
  if (!isRunId(runId)) return null
  return steadily(async () => {
    const job = (await readRecord(query, runId))?.run.jobs[jobIndex]
    if (job === undefined) return null
    const wanted = createWanted()
    jobInput(job, jobIndex, wanted.note(runId))
    return jobInput(job, jobIndex, (await wanted.read(query))(runId))
  })
}
