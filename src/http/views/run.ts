/** Runs and the lines that their tasks have logged as JSON: the schemas, and the functions that make it. */
import { z } from 'zod'
import { writeJson } from '../../domain/json.ts'
import type { JobRecord } from '../../domain/job.ts'
import { respondModes, type RunRecord, runStates } from '../../domain/run.ts'
import { deliveryId, deliveryStates, shownUrl } from '../../domain/webhook.ts'
import type { LoggedLine, StoredChunk } from '../../domain/task-history.ts'
import {
  instant,
  instantSchema,
  jobIndexSchema,
  jobViewSchema,
  nullableInstant,
  type ResultView,
  viewJob,
  type ViewOptions,
  viewResult,
} from './job.ts'

const resultSchema = z
  .unknown()
  .exactOptional()
  .describe('absent until the answer is decided, and if the deciding job failed')
const resultsSchema = z
  .array(z.unknown())
  .readonly()
  .exactOptional()
  .describe('only with `respond: all`: the result of each job, in the order of the jobs')

export const runIdSchema = z.uuidv7()

export const deliverySchema = z
  .object({
    id: z.string().describe('the `webhook-id` of every try'),
    url: z.string().describe('without user and password'),
    state: z
      .enum(deliveryStates)
      .describe(
        '`pending`: the next try is at `nextAt`; `delivered`: the receiver has accepted it; `failed`: it was given up, or the receiver responded 410',
      ),
    attempts: z.int().min(0).describe('number of tries that have ended'),
    lastStatus: z.int().nullable().describe('HTTP status of the last try; null if there was no response'),
    nextAt: instantSchema.nullable().describe('null if there is no further try'),
  })
  .readonly()
  .describe('A webhook that reports the end of the run')

export const runViewSchema = z
  .object({
    id: runIdSchema,
    state: z.enum(runStates),
    version: z.int().min(1).describe('grows with every committed change of state, and never with progress'),
    result: resultSchema,
    resultBytes: z.int().min(0).exactOptional().describe('replaces a large result in events'),
    results: resultsSchema,
    answer: z
      .object({
        mode: z.enum(respondModes),
        jobIndex: z.int().min(0).nullable().describe('the deciding job; null if all jobs decide together'),
      })
      .readonly()
      .nullable()
      .describe('null until it is decided'),
    createdAt: instantSchema,
    committedAt: instantSchema
      .exactOptional()
      .describe(
        'the commit of the run; not stored, so only the process that accepted the run knows it, for its latest 10,000 runs',
      ),
    respondedAt: instantSchema.nullable().describe('the commit of the answer'),
    finishedAt: instantSchema.nullable(),
    tags: z.array(z.string()).readonly(),
    jobs: z.array(jobViewSchema).readonly(),
    deliveries: z
      .array(deliverySchema)
      .readonly()
      .exactOptional()
      .describe(
        'one for each of the latest hundred times that the run has ended; absent in lists, and if the run has no webhook',
      ),
    links: z.object({ self: z.string(), events: z.string(), cancel: z.string() }).readonly(),
  })
  .readonly()
  .describe('One accepted request, its jobs and its answer')

export const minimalRunSchema = z
  .object({ id: runIdSchema, state: z.enum(runStates), result: resultSchema, results: resultsSchema })
  .readonly()
  .describe('A run with `Prefer: return=minimal`')

export const runPageSchema = z
  .object({
    runs: z.array(runViewSchema).readonly(),
    nextPageToken: z.string().nullable().describe('null on the last page'),
    pageSize: z.int().min(1).describe('the largest number of runs in this page: the one requested, but at most 500'),
  })
  .readonly()
  .describe('Runs, newest first, without results, failures and details of errors')

export const bulkChangeSchema = z
  .object({
    matched: z.int().min(0).describe('runs that the filter matches'),
    changed: z.int().min(0).describe('runs that were changed; 0 with `dryRun`'),
  })
  .readonly()
  .describe('The effect of a change of many runs')

export type RunPageView = z.output<typeof runPageSchema>
export type BulkChangeView = z.output<typeof bulkChangeSchema>
export type RunView = z.output<typeof runViewSchema>
type MinimalRunView = z.output<typeof minimalRunSchema>

export function viewRun(run: RunRecord, options: ViewOptions): RunView {
  const self = `${options.prefix ?? ''}/runs/${run.id}`
  const jobs = run.jobs.map((job) => viewJob(run.id, job, options))
  const committedAt = options.committedAt?.(run.id) ?? null
  return {
    id: run.id,
    state: run.state,
    version: run.version,
    ...((options.showsResults ?? true) && answerMembers(run, jobs)),
    answer: run.answer === null ? null : { mode: run.answer.mode, jobIndex: run.answer.jobIndex },
    createdAt: instant(run.createdAt),
    ...(committedAt !== null && { committedAt: instant(committedAt) }),
    respondedAt: nullableInstant(run.respondedAt),
    finishedAt: nullableInstant(run.finishedAt),
    tags: run.tags,
    jobs,
    ...deliveryMembers(run),
    links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
  }
}

function deliveryMembers({ id: runId, webhook, deliveries }: RunRecord): Pick<RunView, 'deliveries'> {
  if (webhook === undefined || deliveries === undefined) return {}
  const url = shownUrl(webhook)
  return {
    deliveries: deliveries.map(({ version, state, attempts, lastStatus, nextAt }) => {
      const id = deliveryId({ runId, version })
      return { id, url, state, attempts, lastStatus, nextAt: nullableInstant(nextAt) }
    }),
  }
}

/** The run for a caller that prefers `return=minimal`. */
export function viewMinimalRun(run: RunRecord): MinimalRunView {
  const results = run.jobs.map((job) => viewResult(job).view)
  return { id: run.id, state: run.state, ...answerMembers(run, results) }
}

/** In `results`, an object that has only `resultBytes` replaces a large result. */
function answerMembers(
  { answer }: RunRecord,
  jobs: readonly ResultView[],
): Pick<RunView, 'result' | 'resultBytes' | 'results'> {
  if (answer?.status !== 200) return {}
  const results = jobs.map(({ result, resultBytes }) => (resultBytes === undefined ? { result } : { resultBytes }))
  if (answer.jobIndex !== null) return results[answer.jobIndex] ?? {}
  return { results: results.map((each) => ('resultBytes' in each ? each : each.result)) }
}

/** An event leaves out larger results: its receiver wants to know how far the run is. */
const maxEventResultBytes = 16 * 1024

export function eventText(run: RunRecord, options: ViewOptions): string {
  return writeJson(viewRun(run, { ...options, maxResultBytes: maxEventResultBytes }))
}

// A run with large results comes from the store without them. They are read and written one by one, so that only one is in
// memory. A result never changes, so all of them are of one version. Failures of a job that still runs can be newer.

/** Reads the members of a job that were omitted from its run. */
export type ReadWholeJob = (job: JobRecord) => Promise<JobRecord>

export function hasOmissions({ jobs }: RunRecord): boolean {
  return jobs.some(({ omitted }) => omitted !== undefined)
}

/** @returns the run with all members of one job. @param index null: the run as it is */
export async function withWholeJob(run: RunRecord, index: number | null, read: ReadWholeJob): Promise<RunRecord> {
  const job = index === null ? undefined : run.jobs[index]
  if (job?.omitted === undefined) return run
  return { ...run, jobs: run.jobs.with(job.index, await read(job)) }
}

export interface RunTextOptions extends ViewOptions {
  readonly isMinimal: boolean
  readonly readWholeJob: ReadWholeJob
}

/** Yields the JSON text in pieces: the same members in the same order as `viewRun` and `viewMinimalRun`. */
export async function* runText(run: RunRecord, options: RunTextOptions): AsyncGenerator<string, void, undefined> {
  const { isMinimal, readWholeJob } = options
  const withoutJobs = viewRun({ ...run, jobs: [] }, { ...options, showsResults: false })
  const { id, state, version, jobs: _jobs, deliveries, links, ...rest } = withoutJobs
  yield `{${membersOf(isMinimal ? { id, state } : { id, state, version })}`
  yield* answerText(run, readWholeJob)
  if (!isMinimal) {
    yield `,${membersOf(rest)},"jobs":[`
    for (const [index, job] of run.jobs.entries()) {
      if (index > 0) yield ','
      yield writeJson(viewJob(run.id, await readWholeJob(job), options))
    }
    yield `],${membersOf({ ...(deliveries && { deliveries }), links })}`
  }
  yield '}'
}

async function* answerText({ answer, jobs }: RunRecord, readWholeJob: ReadWholeJob): AsyncGenerator<string> {
  if (answer?.status !== 200) return
  const isOne = answer.jobIndex !== null
  const deciding = isOne ? jobs.filter(({ index }) => index === answer.jobIndex) : jobs
  yield isOne ? ',"result":' : ',"results":['
  for (const [position, job] of deciding.entries()) {
    if (position > 0) yield ','
    yield writeJson(viewResult(await readWholeJob(job)).view.result)
  }
  if (!isOne) yield ']'
}

/** The text of an object without its braces. */
function membersOf(view: object): string {
  return JSON.stringify(view).slice(1, -1)
}

export const lineSchema = z
  .object({
    id: z.int().min(1).describe('grows from line to line'),
    at: instantSchema,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    jobIndex: jobIndexSchema,
    attempt: z.int().min(1),
    message: z.string(),
    fields: z.unknown().optional().describe('the fields that were logged with the message'),
    error: z.unknown().optional().describe('the error that was logged, in the form of a job’s error'),
  })
  .readonly()
  .describe('A line that a task has logged')

export const linePageSchema = z
  .object({ lines: z.array(lineSchema).readonly(), hasMore: z.boolean().describe('whether more lines follow') })
  .readonly()
  .describe('Lines of one run, the oldest first')

export type LineView = z.output<typeof lineSchema>
export type LinePageView = z.output<typeof linePageSchema>

/** No chunk has as many lines. */
const idsPerChunk = 1_024

/** @returns the id of the chunk that has the line */
export function chunkIdOf(lineId: number): number {
  return Math.floor(lineId / idsPerChunk)
}

export function viewLines(chunks: readonly StoredChunk[]): LineView[] {
  return chunks.flatMap(({ id, text }) =>
    // Only the service writes these texts.
    (JSON.parse(text) as LoggedLine[]).map((line, index) => ({
      id: id * idsPerChunk + index,
      ...line,
      at: instant(line.at),
    })),
  )
}
