/**
 * Views as JSON text. That of a run is written piece by piece: of a run with large results no more than one of them is in
 * memory. A job that is completed does not change any more, so what is read piece by piece is the run of one version; of a
 * job that goes on, the failures can be newer.
 */
import type { Context } from 'koa'
import { writeJson } from '../../domain/json.ts'
import type { JobRecord } from '../../domain/job.ts'
import type { RunRecord } from '../../domain/run.ts'
import { viewJob, viewResult, type ViewOptions } from './job.ts'
import { viewMinimalRun, viewRun } from './run.ts'

/**
 * As text, not as the value: Koa asks of an object whether it is a Response, for which Node has to load all of `fetch`
 * while the first caller waits (measured: 40 ms and more).
 */
export function sendJson(ctx: Context, view: unknown): void {
  sendText(ctx, writeJson(view))
}

export function sendText(ctx: Context, json: string): void {
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.body = json
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
