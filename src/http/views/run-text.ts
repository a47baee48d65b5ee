/**
 * A run as JSON text, piece by piece: of a run with large results no more than one of them is in memory. A job that is
 * completed does not change any more, so what is read piece by piece is the run of one version; of a job that goes on,
 * the failures can be newer.
 */
import type { JobRecord } from '../../domain/job.ts'
import type { RunRecord } from '../../domain/run.ts'
import { viewJob, type ViewOptions } from './job.ts'
import { writeJson } from './json.ts'
import { viewMinimalRun, viewRun } from './run.ts'

/** Reads a job with what was omitted. */
export type WholeJob = (job: JobRecord) => Promise<JobRecord>

export interface RunTextOptions extends ViewOptions {
  readonly isMinimal: boolean
  readonly wholeJob: WholeJob
}

export function hasOmissions({ jobs }: RunRecord): boolean {
  return jobs.some(({ omitted }) => omitted !== undefined)
}

/** For who wants all of it in memory, or all of one job. @param index of the one; default: all of them */
export async function wholeRun(run: RunRecord, wholeJob: WholeJob, index?: number | null): Promise<RunRecord> {
  if (!hasOmissions(run)) return run
  const jobs = run.jobs.map(async (job) => (index === undefined || job.index === index ? wholeJob(job) : job))
  return { ...run, jobs: await Promise.all(jobs) }
}

/** The same members in the same order as the views have. */
export async function* runText(run: RunRecord, options: RunTextOptions): AsyncGenerator<string, void, undefined> {
  const { isMinimal, wholeJob } = options
  const bare = { ...options, showsResults: false }
  const { id, state, version, jobs: _jobs, links, ...rest } = viewRun({ ...run, jobs: [] }, bare)
  yield membersOf(isMinimal ? viewMinimalRun({ ...run, answer: null }) : { id, state, version }, '{')
  yield* answerText(run, options)
  if (!isMinimal) {
    yield membersOf(rest, ',')
    yield ',"jobs":['
    for (const [index, job] of run.jobs.entries()) {
      if (index > 0) yield ','
      yield writeJson(viewJob(run.id, await wholeJob(job), options))
    }
    yield membersOf({ links }, '],')
  }
  yield '}'
}

async function* answerText(run: RunRecord, { wholeJob, ...options }: RunTextOptions): AsyncGenerator<string> {
  const { answer, jobs } = run
  if (answer === null || answer.status !== 200) return
  const resultText = async (job: JobRecord | undefined): Promise<string> =>
    job === undefined
      ? 'null'
      : writeJson({ result: viewJob(run.id, await wholeJob(job), options).result }).slice('{"result":'.length, -1)
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
