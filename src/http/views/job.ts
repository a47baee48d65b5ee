/** How a job and its errors are shown: their JSON form, and its making. Instants become ISO 8601 in UTC with milliseconds. */
import { z } from 'zod'
import {
  type FailedAttempt,
  type JobError,
  jobErrorCodes,
  type JobRecord,
  jobStates,
  type Waiting,
  type WhyWaiting,
} from '../../domain/job.ts'
import type { Progress } from '../../domain/claim.ts'
import { isTooDeep, maxJsonDepth, RawJson } from '../../domain/json.ts'

export const instantSchema = z.iso.datetime({ precision: 3 }).describe('UTC with milliseconds')

export const jobIndexSchema = z.int().min(0)

/** Members that a thrown error has of its own; its causes have the same. */
const thrown = {
  message: z.string(),
  name: z.string().exactOptional(),
  taskCode: z.union([z.string(), z.number()]).exactOptional().describe('the thrown error’s own `code`'),
  status: z.number().exactOptional().describe('the thrown error’s own `status`'),
  exitCode: z.int().exactOptional().describe('of the thread, where it ended by one'),
  stack: z.string().exactOptional().describe('only where the service logs at level debug'),
}

export interface CauseView {
  readonly message: string
  readonly name?: string
  readonly taskCode?: string | number
  readonly status?: number
  readonly exitCode?: number
  readonly stack?: string
  readonly cause?: CauseView
}

export const causeSchema: z.ZodType<CauseView> = z
  .object({ ...thrown, cause: z.lazy(() => causeSchema).exactOptional() })
  .readonly()
  .describe('The `cause` of a thrown error, in the form of an error')

export const jobErrorSchema = z
  .object({ code: z.enum(jobErrorCodes), ...thrown, cause: causeSchema.exactOptional() })
  .readonly()
  .describe('Why an attempt did not succeed')

const attemptTimes = { startedAt: instantSchema, finishedAt: instantSchema }

export const jobFailureSchema = z
  .object({ attempt: z.int().min(1), ...attemptTimes, error: jobErrorSchema })
  .readonly()
  .describe('One unsuccessful attempt')

const waitReasons = ['blocked', 'delay', 'retry', 'paused', 'unknown-task', 'limit', 'rate', 'thread'] as const
export const stepSchema = z
  .object({ name: z.string(), finishedAt: instantSchema })
  .readonly()
  .describe('A piece of a task’s work that no later attempt runs again')

const waitingSchema = z
  .object({
    reason: z
      .enum(waitReasons)
      .describe(
        '`blocked`: it waits for the jobs in `waitsFor`; `delay`, `retry`: it is due at `until`; `paused`: its task is paused; `unknown-task`: the process that answers does not have the task; `limit`: `limit` jobs of its task run there, and no more may at once; `rate`: `limit` jobs of its task have started within `perMs`, and the next may at `until`; `thread`: it is due, and starts when a thread takes it',
      ),
    until: instantSchema.exactOptional(),
    limit: z.int().min(1).exactOptional(),
    perMs: z.int().min(1).exactOptional(),
    ahead: z
      .int()
      .min(0)
      .exactOptional()
      .describe(
        'with `thread`, where one job is asked for: due jobs before it; of each task and priority at most 1,000 are counted',
      ),
  })
  .readonly()

export const jobViewSchema = z
  .object({
    index: jobIndexSchema,
    task: z.string(),
    state: z.enum(jobStates),
    thread: z
      .string()
      .nullable()
      .describe('`main`, `worker-N`, `process-N` (a child process beside that thread), or null before the first start'),
    attempt: z.int().min(0).describe('spent attempts and the one under way; 0 before the first'),
    maxAttempts: z.int().min(0).describe('0: the request was not valid, and nothing has run'),
    queuedAt: instantSchema,
    startedAt: instantSchema.nullable(),
    finishedAt: instantSchema.nullable(),
    runAt: instantSchema.nullable().describe('when a waiting job is due'),
    lostStart: z
      .object({ startedAt: instantSchema, takenBackAt: instantSchema })
      .readonly()
      .exactOptional()
      .describe(
        'the latest start that ended with its process, which spends no attempt, and when the job was taken back; absent where there is none',
      ),
    waiting: waitingSchema.nullable().describe('why the job does not run yet; null when it does not wait'),
    after: z
      .array(jobIndexSchema)
      .readonly()
      .exactOptional()
      .describe('jobs whose results it was asked to wait for; absent where there are none'),
    waitsFor: z.array(jobIndexSchema).readonly().describe('jobs whose results a blocked job still waits for'),
    progress: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('the fraction that a running job has reported, from 0 to 1; else null'),
    result: z.unknown().exactOptional().describe('null until completed; left out in lists'),
    resultBytes: z.int().min(0).exactOptional().describe('in events and problems, in place of a large result'),
    error: jobErrorSchema.nullable(),
    failures: z
      .array(jobFailureSchema)
      .readonly()
      .exactOptional()
      .describe('left out in lists, and in events where they are large'),
    failedAttempts: z
      .array(z.object(attemptTimes).readonly())
      .readonly()
      .exactOptional()
      .describe(
        'in place of `failures` where those are left out: when the latest eight ran; absent where there are none',
      ),
    steps: z
      .array(stepSchema)
      .readonly()
      .exactOptional()
      .describe('steps that are stored, in that order; left out in lists, and in events where they are many'),
  })
  .readonly()
  .describe('One task of a run, with its input')

/** The `data` of an event `progress`; that of an event `run` is a run. */
export const progressSchema = z
  .object({
    jobIndex: z.int().min(0),
    progress: z.number().min(0).max(1),
    message: z.string().exactOptional(),
  })
  .readonly()
  .describe('How far a running job is')

export type ProgressView = z.output<typeof progressSchema>
export type JobView = z.output<typeof jobViewSchema>
type ErrorView = z.output<typeof jobErrorSchema>
export type ResultView = Pick<JobView, 'result' | 'resultBytes'>

/** The progress that a job has reported; null before its first report, and for a job that does not run here. */
export type ProgressOf = (runId: string, jobIndex: number) => Progress | null

export interface ViewOptions {
  /** Stacks show the inside of the service: only where it is debugged. */
  readonly showsStacks: boolean
  /** In lists results and failures are left out. */
  readonly showsResults?: boolean
  /** A result of more bytes is replaced by their number; default: no limit. */
  readonly maxResultBytes?: number
  /** Before each address, where the service is not at the root of its host; default: nothing. */
  readonly prefix?: string
  /** How far a running job is; default: unknown. */
  readonly progressOf?: ProgressOf
  /** Why a job does not run yet; default: unknown. */
  readonly whyWaiting?: WhyWaiting
  /** When a run was committed; default: nobody knows. */
  readonly committedAt?: (runId: string) => number | null
}

/** A result is written as its task's thread has written it; text that is too long is not even parsed. */
export function viewResult(
  { result, omitted }: JobRecord,
  maxBytes = Infinity,
): { readonly view: ResultView; readonly error: ErrorView | null } {
  const bytes = result === null || maxBytes === Infinity ? 0 : Buffer.byteLength(result)
  const resultBytes = omitted?.resultBytes ?? (bytes > maxBytes ? bytes : null)
  if (resultBytes !== null) return { view: { resultBytes }, error: null }
  if (result === null) return { view: { result: null }, error: null }
  const problem = problemOf(result)
  if (problem !== null) return { view: { result: null }, error: unreadable(problem) }
  return { view: { result: new RawJson(result) }, error: null }
}

/** The service stores JSON only. A run whose row was written by another program must be shown all the same. */
function problemOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text)
    // A level has at least two brackets.
    const isDeep = text.length > 2 * maxJsonDepth && isTooDeep(value)
    return isDeep ? `it is nested more than ${maxJsonDepth} levels deep` : null
  } catch (error) {
    return String(error)
  }
}

/** The error of a job that was completed with a result which cannot be shown. */
function unreadable(reason: string): ErrorView {
  return { code: 'invalid_result', message: `the stored result cannot be shown: ${reason}` }
}

export function viewJob(runId: string, job: JobRecord, options: ViewOptions): JobView {
  const { showsStacks, showsResults = true, maxResultBytes, progressOf = () => null, whyWaiting = () => null } = options
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
    ...(job.lostStart && {
      lostStart: { startedAt: instant(job.lostStart.startedAt), takenBackAt: instant(job.lostStart.takenBackAt) },
    }),
    waiting: viewWaiting(whyWaiting(job)),
    ...(job.after !== undefined && { after: job.after }),
    waitsFor: job.waitsFor ?? [],
    progress: job.state === 'running' ? (progressOf(runId, job.index)?.fraction ?? null) : null,
    ...result.view,
    error: job.error === null ? result.error : viewError(job.error, showsStacks),
    ...(showsResults && job.omitted === undefined
      ? { failures: viewFailures(job, showsStacks), steps: viewSteps(job) }
      : job.failedAttempts && { failedAttempts: job.failedAttempts.map(viewTimes) }),
  }
}

function viewTimes({ startedAt, finishedAt }: FailedAttempt) {
  return { startedAt: instant(startedAt), finishedAt: instant(finishedAt) }
}

function viewWaiting(waiting: Waiting | null): JobView['waiting'] {
  if (waiting === null) return null
  return 'until' in waiting ? { ...waiting, until: instant(waiting.until) } : waiting
}

function viewSteps({ steps = [] }: JobRecord): NonNullable<JobView['steps']> {
  return steps.map(({ name, finishedAt }) => ({ name, finishedAt: instant(finishedAt) }))
}

function viewFailures({ failures }: JobRecord, showsStacks: boolean): NonNullable<JobView['failures']> {
  return failures.map((failure) => ({
    attempt: failure.attempt,
    ...viewTimes(failure),
    error: viewError(failure.error, showsStacks),
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

export function instant(at: number): string {
  return new Date(at).toISOString()
}

export function nullableInstant(at: number | null): string | null {
  return at === null ? null : instant(at)
}
