/** How runs and jobs are shown. Instants become ISO 8601 in UTC with milliseconds. */
import type { z } from 'zod'
import type { JobError, JobRecord, Progress } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'
import type { CauseView, jobErrorSchema, jobViewSchema } from './schemas/job.ts'
import type { MinimalRunView, runViewSchema } from './schemas/run.ts'

/** What a job that runs here has told of its progress; null while it has told nothing, or does not run here. */
export type ProgressOf = (runId: string, jobIndex: number) => Progress | null

export interface ViewOptions {
  /** Stacks tell about the service's inside: only for those who debug it. */
  readonly showsStacks: boolean
  /** In lists results and failures are left out. */
  readonly showsResults?: boolean
  /** A result of more bytes is replaced by their number; default: no limit. */
  readonly maxResultBytes?: number
  /** Before each address, where the service is not at the root of its host; default: nothing. */
  readonly prefix?: string
  /** How far a running job is; default: nobody knows. */
  readonly progressOf?: ProgressOf
}

export type RunView = z.output<typeof runViewSchema>
export type JobView = z.output<typeof jobViewSchema>
type ErrorView = z.output<typeof jobErrorSchema>

export function viewRun(run: RunRecord, options: ViewOptions): RunView {
  const self = `${options.prefix ?? ''}/runs/${run.id}`
  const jobs = run.jobs.map((job) => viewJob(run.id, job, options))
  return {
    id: run.id,
    state: run.state,
    version: run.version,
    ...((options.showsResults ?? true) && answerMembers(run, jobs)),
    answer: run.answer === null ? null : { mode: run.answer.mode, jobIndex: run.answer.jobIndex },
    createdAt: instant(run.createdAt),
    respondedAt: nullableInstant(run.respondedAt),
    finishedAt: nullableInstant(run.finishedAt),
    tags: run.tags,
    jobs,
    links: { self, events: `${self}/events`, cancel: `${self}/cancel` },
  }
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

type ResultView = Pick<JobView, 'result' | 'resultBytes'>

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

/** Text that is too long is not even parsed. */
function viewResult(
  { result, omitted }: JobRecord,
  maxBytes = Infinity,
): { readonly view: ResultView; readonly error: ErrorView | null } {
  const bytes = result === null || maxBytes === Infinity ? 0 : Buffer.byteLength(result)
  const resultBytes = omitted?.resultBytes ?? (bytes > maxBytes ? bytes : null)
  if (resultBytes !== null) return { view: { resultBytes }, error: null }
  const { value, error } = result === null ? { value: null, error: null } : parseResult(result)
  return { view: { result: value }, error }
}

/** What is stored is JSON, unless somebody else has written to the database: even then its run must be shown. */
export function parseResult(text: string): { readonly value: unknown; readonly error: ErrorView | null } {
  try {
    return { value: JSON.parse(text) as unknown, error: null }
  } catch (error) {
    return { value: null, error: unreadable(String(error)) }
  }
}

/** The error of a job that was completed with a result which cannot be shown. */
export function unreadable(reason: string): ErrorView {
  return { code: 'invalid_result', message: `the stored result cannot be shown: ${reason}` }
}

export function viewJob(runId: string, job: JobRecord, options: ViewOptions): JobView {
  const { showsStacks, showsResults = true, maxResultBytes, progressOf = () => null } = options
  const result = showsResults ? viewResult(job, maxResultBytes) : { view: {}, error: null }
  return {
    index: job.index,
    task: job.task,
    state: job.state,
    thread: job.thread,
    attempt: job.attempt,
    maxAttempts: job.maxAttempts,
    queuedAt: instant(job.queuedAt),
    startedAt: nullableInstant(job.startedAt),
    finishedAt: nullableInstant(job.finishedAt),
    runAt: nullableInstant(job.runAt),
    progress: job.state === 'running' ? (progressOf(runId, job.index)?.fraction ?? null) : null,
    ...result.view,
    error: job.error === null ? result.error : viewError(job.error, showsStacks),
    ...(showsResults && job.omitted === undefined && { failures: viewFailures(job, showsStacks) }),
  }
}

function viewFailures({ failures }: JobRecord, showsStacks: boolean): NonNullable<JobView['failures']> {
  return failures.map(({ attempt, startedAt, finishedAt, error }) => ({
    attempt,
    startedAt: instant(startedAt),
    finishedAt: instant(finishedAt),
    error: viewError(error, showsStacks),
  }))
}

export function viewError(error: JobError, showsStacks: boolean): ErrorView {
  return { code: error.code, ...viewThrown(error, showsStacks) }
}

function viewThrown(error: NonNullable<JobError['cause']>, showsStacks: boolean): CauseView {
  const { stack, cause, ...shown } = error
  return {
    ...shown,
    ...(cause !== undefined && { cause: viewThrown(cause, showsStacks) }),
    ...(showsStacks && stack !== undefined && { stack }),
  }
}

function instant(at: number): string {
  return new Date(at).toISOString()
}

function nullableInstant(at: number | null): string | null {
  return at === null ? null : instant(at)
}
