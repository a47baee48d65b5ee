/** How a run is shown, whole and short, and what its tasks have logged: their JSON forms, and their making. */
import { z } from 'zod'
import { writeJson } from '../../domain/json.ts'
import type { JobRecord } from '../../domain/job.ts'
import { respondModes, type RunRecord, runStates } from '../../domain/run.ts'
import { deliveryId, type DeliveryRecord, deliveryStates, shownUrl } from '../../domain/webhook.ts'
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
  .describe('absent until the answer is decided, and where the deciding job failed')
const resultsSchema = z
  .array(z.unknown())
  .readonly()
  .exactOptional()
  .describe('with `respond: all`, one per job in their order')

export const runIdSchema = z.uuidv7()

export const deliverySchema = z
  .object({
    id: z.string().describe('sent as `webhook-id`, with every try'),
    url: z.string().describe('without the user and the password that it may have'),
    state: z
      .enum(deliveryStates)
      .describe(
        '`pending`: it is sent at `nextAt`; `delivered`: the receiver has taken it; `failed`: it was given up, or the receiver wants no more (410)',
      ),
    attempts: z.int().min(0).describe('tries that have ended'),
    lastStatus: z.int().nullable().describe('HTTP status of the last try; null where there was no answer'),
    nextAt: instantSchema.nullable().describe('null where it is over'),
  })
  .readonly()
  .describe('A webhook that says that the run has ended')

export const runViewSchema = z
  .object({
    id: runIdSchema,
    state: z.enum(runStates),
    version: z.int().min(1).describe('grows with every committed change of state, and never with progress'),
    result: resultSchema,
    resultBytes: z.int().min(0).exactOptional().describe('in events, in place of a large result'),
    results: resultsSchema,
    answer: z
      .object({
        mode: z.enum(respondModes),
        jobIndex: z.int().min(0).nullable().describe('the deciding job; null where all of them decided together'),
      })
      .readonly()
      .nullable()
      .describe('null until it is decided'),
    createdAt: instantSchema,
    committedAt: instantSchema
      .exactOptional()
      .describe(
        'the commit of the run, which is not stored: known of the latest 10,000 that the process which answers has accepted',
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
        'one for each of the latest hundred times that the run has ended; absent where it has no webhook, and in lists',
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
    pageSize: z
      .int()
      .min(1)
      .describe('the largest number of runs in this page: as asked for, or 500 where that was more'),
  })
  .readonly()
  .describe('Runs, newest first, without results, failures and details of errors')

export const bulkChangeSchema = z
  .object({
    matched: z.int().min(0).describe('runs that the filter matches'),
    changed: z.int().min(0).describe('those of them that were changed; 0 with `dryRun`'),
  })
  .readonly()
  .describe('What a change of many runs has done')

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
  return { deliveries: deliveries.map((delivery) => viewDelivery(runId, url, delivery)) }
}

function viewDelivery(runId: string, url: string, delivery: DeliveryRecord): z.output<typeof deliverySchema> {
  const { version, state, attempts, lastStatus, nextAt } = delivery
  return { id: deliveryId({ runId, version }), url, state, attempts, lastStatus, nextAt: nullableInstant(nextAt) }
}

/** A run as a caller wants it that prefers `return=minimal`. */
export function viewMinimalRun(run: RunRecord): MinimalRunView {
  return {
    id: run.id,
    state: run.state,
    ...answerMembers(
      run,
      run.jobs.map((job) => viewResult(job).view),
    ),
  }
}

/**
 * In `results`, where each has its place, one that was left out is an object that has only `resultBytes`.
 * @param jobs with their results
 */
function answerMembers(
  { answer }: RunRecord,
  jobs: readonly ResultView[],
): Pick<RunView, keyof ResultView | 'results'> {
  if (answer === null || answer.status !== 200) return {}
  const results = jobs.map(({ result, resultBytes }) => (resultBytes === undefined ? { result } : { resultBytes }))
  if (answer.jobIndex !== null) return results[answer.jobIndex] ?? {}
  return { results: results.map((each) => ('resultBytes' in each ? each : each.result)) }
}

/** Larger results are left out of an event: its receiver wants to know how far the run is. */
const maxEventResultBytes = 16 * 1024

export function eventText(run: RunRecord, options: ViewOptions): string {
  return writeJson(viewRun(run, { ...options, maxResultBytes: maxEventResultBytes }))
}

/** Reads a job with what was omitted. */
export type WholeJob = (job: JobRecord) => Promise<JobRecord>

export interface RunTextOptions extends ViewOptions {
  readonly isMinimal: boolean
  readonly wholeJob: WholeJob
}

export function hasOmissions({ jobs }: RunRecord): boolean {
  return jobs.some(({ omitted }) => omitted !== undefined)
}

/** All of it in memory, or all of one job. @param index of the one; default: all of them */
export async function wholeRun(run: RunRecord, wholeJob: WholeJob, index?: number | null): Promise<RunRecord> {
  if (!hasOmissions(run)) return run
  const jobs = run.jobs.map(async (job) => (index === undefined || job.index === index ? wholeJob(job) : job))
  return { ...run, jobs: await Promise.all(jobs) }
}

/** The same members in the same order as the views have. */
export async function* runText(run: RunRecord, options: RunTextOptions): AsyncGenerator<string, void, undefined> {
  const { isMinimal, wholeJob } = options
  const bare = { ...options, showsResults: false }
  const { id, state, version, jobs: _jobs, deliveries, links, ...rest } = viewRun({ ...run, jobs: [] }, bare)
  yield membersOf(isMinimal ? viewMinimalRun({ ...run, answer: null }) : { id, state, version }, '{')
  yield* answerText(run, wholeJob)
  if (!isMinimal) {
    yield membersOf(rest, ',')
    yield ',"jobs":['
    for (const [index, job] of run.jobs.entries()) {
      if (index > 0) yield ','
      yield writeJson(viewJob(run.id, await wholeJob(job), options))
    }
    yield membersOf({ ...(deliveries && { deliveries }), links }, '],')
  }
  yield '}'
}

async function* answerText(run: RunRecord, wholeJob: WholeJob): AsyncGenerator<string> {
  const { answer, jobs } = run
  if (answer === null || answer.status !== 200) return
  const resultText = async (job: JobRecord | undefined): Promise<string> =>
    job === undefined ? 'null' : writeJson(viewResult(await wholeJob(job)).view.result)
  if (answer.jobIndex !== null) {
    yield `,"result":${await resultText(jobs[answer.jobIndex])}`
    return
  }
  for (const [index, job] of jobs.entries()) yield (index === 0 ? ',"results":[' : ',') + (await resultText(job))
  yield ']'
}

/** An object's text without its braces. */
function membersOf(view: object, before: string): string {
  return before + JSON.stringify(view).slice(1, -1)
}

export const lineSchema = z
  .object({
    id: z.int().min(1).describe('grows from line to line'),
    at: instantSchema,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    jobIndex: jobIndexSchema,
    attempt: z.int().min(1),
    message: z.string(),
    fields: z.unknown().optional().describe('what was given beside the message'),
    error: z.unknown().optional().describe('the error that was given, in the form of a job’s'),
  })
  .readonly()
  .describe('A line that a task has logged')

export const linePageSchema = z
  .object({ lines: z.array(lineSchema).readonly(), hasMore: z.boolean().describe('whether more lines follow') })
  .readonly()
  .describe('Lines of one run, the oldest first')

export type LineView = z.output<typeof lineSchema>
export type LinePageView = z.output<typeof linePageSchema>

/** More than the lines of any chunk. */
const idsPerChunk = 1_024

/** Of the chunk with the line, whose id this is. */
export function chunkIdOf(lineId: number): number {
  return Math.floor(lineId / idsPerChunk)
}

export function viewLines(chunks: readonly StoredChunk[]): LineView[] {
  return chunks.flatMap(({ id, text }) =>
    // They are written by the service alone.
    (JSON.parse(text) as LoggedLine[]).map((line, index) => ({
      id: id * idsPerChunk + index,
      ...line,
      at: instant(line.at),
    })),
  )
}
