/** How runs and jobs are shown. Instants become ISO 8601 in UTC with milliseconds. */
import type { JobError, JobRecord } from '../domain/job.ts'
import type { RunRecord } from '../domain/run.ts'

export interface ViewOptions {
  /** Stacks tell about the service's inside: only for those who debug it. */
  readonly showsStacks: boolean
  /** In lists results are left out. */
  readonly showsResults?: boolean
  /** How far a running job is, from 0 to 1; default: nobody knows. */
  readonly progressOf?: (runId: string, jobIndex: number) => number | null
}

export interface JobView {
  readonly index: number
  readonly task: string
  readonly state: string
  readonly thread: string | null
  readonly attempt: number
  readonly maxAttempts: number
  readonly queuedAt: string
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly runAt: string | null
  readonly progress: number | null
  readonly result?: unknown
  readonly error: object | null
  readonly failures: readonly object[]
}

export interface RunView {
  readonly id: string
  readonly state: string
  readonly version: number
  /** Absent until the answer is decided, and where the deciding job failed. */
  readonly result?: unknown
  /** With `respond: all`, one per job in their order. */
  readonly results?: readonly unknown[]
  readonly answer: { readonly mode: string; readonly jobIndex: number | null } | null
  readonly createdAt: string
  readonly respondedAt: string | null
  readonly finishedAt: string | null
  readonly tags: readonly string[]
  readonly jobs: readonly JobView[]
  readonly links: { readonly self: string }
}

export function viewRun(run: RunRecord, options: ViewOptions): RunView {
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
    links: { self: `/runs/${run.id}` },
  }
}

function answerMembers({ answer }: RunRecord, jobs: readonly JobView[]): Pick<RunView, 'result' | 'results'> {
  if (answer === null || answer.status !== 200) return {}
  if (answer.jobIndex === null) return { results: jobs.map(({ result }) => result) }
  return { result: jobs[answer.jobIndex]?.result }
}

export function viewJob(runId: string, job: JobRecord, options: ViewOptions): JobView {
  const { showsStacks, showsResults = true, progressOf = () => null } = options
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
    progress: job.state === 'running' ? progressOf(runId, job.index) : null,
    ...(showsResults && { result: job.result === null ? null : (JSON.parse(job.result) as unknown) }),
    error: job.error === null ? null : viewError(job.error, showsStacks),
    failures: job.failures.map(({ attempt, startedAt, finishedAt, error }) => ({
      attempt,
      startedAt: instant(startedAt),
      finishedAt: instant(finishedAt),
      error: viewError(error, showsStacks),
    })),
  }
}

export function viewError(error: JobError | NonNullable<JobError['cause']>, showsStacks: boolean): object {
  const { stack, cause, ...shown } = error
  return {
    ...shown,
    ...(cause !== undefined && { cause: viewError(cause, showsStacks) }),
    ...(showsStacks && stack !== undefined && { stack }),
  }
}

function instant(at: number): string {
  return new Date(at).toISOString()
}

function nullableInstant(at: number | null): string | null {
  return at === null ? null : instant(at)
}
