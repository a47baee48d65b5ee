/** Reads a run or a job of one moment for readers, with its steps and the texts that are kept apart from its record. */
import { type Claim, firstOfEachName, type StepPage, stepsPerPage } from '../../../domain/claim.ts'
import { isRunId } from '../../../domain/ids.ts'
import type { JobInput, JobRecord, StepRecord } from '../../../domain/job.ts'
import type { RunRecord } from '../../../domain/run.ts'
import { type Apart, type Job, jobAt, type Run } from '../../../domain/run/aggregate.ts'
import { ownsClaim } from '../../../domain/run/transitions.ts'
import { stepPage } from '../../rows.ts'
import { isApart, resultPart } from '../../apart.ts'
import { jobInput, jobRecord, type Outside, runRecord, type TextOf } from '../../run-record.ts'
import { columns, type Query } from '../connection/connection.ts'
import { readDeliveries } from './deliveries.ts'
import { readRecord } from './records.ts'

export async function readRun(query: Query, id: string): Promise<RunRecord | null> {
  if (!isRunId(id)) return null
  return readConsistently(async () => {
    const stored = await readRecord(query, id)
    return stored === undefined ? null : showRun(query, stored.run)
  })
}

/** @throws Changed if the run has changed after its record was read */
async function showRun(query: Query, run: Run): Promise<RunRecord> {
  const wanted = createWantedTexts()
  runRecord(run, wanted.noteAll(run.id))
  const [outside, deliveries] = await Promise.all([
    wanted.readAll(query, run.id),
    run.webhook === null ? [] : readDeliveries(query, run.id),
  ])
  return runRecord(run, outside, deliveries)
}

/** Returns the run for readers without a read; null if that needs texts, steps or deliveries that its record does not hold. */
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
  return readConsistently(async () => {
    const stored = await readRecord(query, runId)
    if (stored?.run.jobs[jobIndex] === undefined) return null
    const wanted = createWantedTexts()
    jobRecord(stored.run, jobIndex, wanted.noteAll(runId))
    return jobRecord(stored.run, jobIndex, await wanted.readAll(query, runId))
  })
}

export async function readInput(query: Query, runId: string, jobIndex: number): Promise<JobInput | null> {
  if (!isRunId(runId)) return null
  return readConsistently(async () => {
    const stored = await readRecord(query, runId)
    if (stored?.run.jobs[jobIndex] === undefined) return null
    const wanted = createWantedTexts()
    jobInput(stored.run, jobIndex, wanted.note(runId))
    return jobInput(stored.run, jobIndex, (await wanted.read(query))(runId))
  })
}

const selectTexts = {
  name: 'select-texts',
  text: `
    SELECT payload.run, payload.job, payload.part, payload.value
    FROM unnest($1::uuid[], $2::integer[], $3::integer[]) AS asked (run, job, part) JOIN payload USING (run, job, part)`,
}

/** A text that the record names is gone, because the run changed after its record was read. */
class Changed extends Error {
  override readonly name = 'Changed'
}

const maxReads = 5

/** Reads again if the run changed between the read of its record and of its texts. */
export async function readConsistently<Value>(read: () => Promise<Value>): Promise<Value> {
  for (let reads = 1; ; reads += 1) {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof Changed) || reads === maxReads) throw error
    }
  }
}

/**
 * The texts that readers get, and that are kept apart from records. Readers' records are made twice: with `note`, which
 * notes the texts that are missing, and with the texts themselves, which `read` has read together.
 */
export function createWantedTexts() {
  const keys: { readonly runId: string; readonly jobIndex: number; readonly part: number }[] = []
  const jobsWithSteps: number[] = []
  const nameOf = (runId: string, jobIndex: number, part: number): string => `${runId} ${jobIndex} ${part}`

  const wanted = {
    /** The lookup returns a placeholder: an error without a message. */
    note:
      (runId: string): TextOf =>
      (jobIndex, { part }) => {
        keys.push({ runId, jobIndex, part })
        return '{"message":""}'
      },
    /** Notes the texts of one run, and its steps. */
    noteAll: (runId: string): Outside => ({
      textOf: wanted.note(runId),
      stepsOf(jobIndex) {
        jobsWithSteps.push(jobIndex)
        return []
      },
    }),
    async readAll(query: Query, runId: string): Promise<Outside> {
      const [texts, stepsOf] = await Promise.all([wanted.read(query), listSteps(query, runId, jobsWithSteps)])
      return { textOf: texts(runId), stepsOf }
    },
    async read(query: Query): Promise<(runId: string) => TextOf> {
      const rows = keys.length === 0 ? [] : await query(selectTexts, columns(keys, 'runId', 'jobIndex', 'part'))
      const texts = new Map(
        rows.map((row) => [nameOf(String(row['run']), Number(row['job']), Number(row['part'])), String(row['value'])]),
      )
      return (runId) =>
        (jobIndex: number, { part }: Apart): string => {
          const text = texts.get(nameOf(runId, jobIndex, part))
          if (text === undefined) throw new Changed(`the text ${part} of job ${jobIndex} of the run ${runId} is gone`)
          return text
        }
    },
  }
  return wanted
}

/** Returns null if the job has no result. */
export type ResultOf = (runId: string, job: Job, jobIndex: number) => string | null

const selectResults = {
  name: 'select-results',
  text: `
    SELECT payload.run, payload.job, payload.value
    FROM unnest($1::uuid[], $2::integer[]) AS asked (run, job)
    JOIN payload ON payload.run = asked.run AND payload.job = asked.job AND payload.part = ${resultPart}`,
}

/** Reads the results that due jobs have waited for. @param runs of the due jobs, by id; the transaction has locked them */
export async function readResults(
  query: Query,
  due: readonly { readonly runId: string; readonly jobIndex: number }[],
  runs: ReadonlyMap<string, Run>,
): Promise<ResultOf> {
  const asked = due.flatMap(({ runId, jobIndex }) => {
    const run = runs.get(runId)
    const after = run === undefined ? [] : (jobAt(run, jobIndex).chain?.after ?? [])
    return after.flatMap((job) => (isApart(run?.jobs[job]?.result) ? [{ runId, job }] : []))
  })
  const texts = new Map<string, string>()
  if (asked.length > 0) {
    for (const row of await query(selectResults, columns(asked, 'runId', 'job'))) {
      texts.set(`${String(row['run'])} ${String(row['job'])}`, String(row['value']))
    }
  }
  return (runId, { result }, jobIndex) => (isApart(result) ? (texts.get(`${runId} ${jobIndex}`) ?? null) : result)
}

const selectNames = {
  name: 'select-step-names',
  text: 'SELECT job, place, name, finished_at FROM step WHERE run = $1 AND job = ANY($2::integer[]) ORDER BY job, place',
}
const selectPage = {
  name: 'select-steps',
  text: `
    SELECT place, name, value FROM step WHERE run = $1 AND job = $2 AND place >= $3 ORDER BY place LIMIT ${stepsPerPage}`,
}

/** Reads the steps of these jobs. The lookup takes the count of the record: more steps can be stored by then. */
async function listSteps(
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

/** Returns null if the claim does not own its job. */
export async function readSteps(query: Query, claim: Claim, from: number): Promise<StepPage | null> {
  if (!isRunId(claim.runId)) return null
  const rows = await query(selectPage, [claim.runId, claim.jobIndex, from])
  // Read after the steps: if the claim still owns the job, none of them was deleted before they were read.
  const stored = await readRecord(query, claim.runId)
  if (stored === undefined || !ownsClaim(stored.run, claim)) return null
  return stepPage(rows)
}
