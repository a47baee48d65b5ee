/** Jobs and their errors as JSON: the schemas, and the functions that make it. Instants become ISO 8601 texts in UTC. */
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

/** Members of a thrown error, and of each of its causes. */
const thrownMembers = {
  message: z.string(),
  name: z.string().exactOptional(),
  taskCode: z.union([z.string(), z.number()]).exactOptional().describe('the thrown error’s own `code`'),
  status: z.number().exactOptional().describe('the thrown error’s own `status`'),
  exitCode: z.int().exactOptional().describe('exit code of a thread or process that ended'),
  stack: z.string().exactOptional().describe('only if the service logs at level `debug`'),
}

const thrownSchema = z.object(thrownMembers).readonly()

export interface CauseView extends z.output<typeof thrownSchema> {
  readonly cause?: CauseView
}

export const causeSchema: z.ZodType<CauseView> = z
  .object({ ...thrownMembers, cause: z.lazy(() => causeSchema).exactOptional() })
  .readonly()
  .describe('The `cause` of a thrown error')

export const jobErrorSchema = z
  .object({ code: z.enum(jobErrorCodes), ...thrownMembers, cause: causeSchema.exactOptional() })
  .readonly()
  .describe('The reason why an attempt did not succeed')

const attemptTimes = { startedAt: instantSchema, finishedAt: instantSchema }

export const jobFailureSchema = z
  .object({ attempt: z.int().min(1), ...attemptTimes, error: jobErrorSchema })
  .readonly()
  .describe('One unsuccessful attempt')

export const stepSchema = z
  .object({ name: z.string(), finishedAt: instantSchema })
  .readonly()
  .describe('A piece of work of a task, which later attempts do not run again')

const waitingSchema = z
  .object({
    reason: z
      .enum(['blocked', 'delay', 'retry', 'paused', 'unknown-task', 'limit', 'rate', 'thread'])
      .describe(
        '`blocked`: the job waits for those in `waitsFor`; `delay`, `retry`: it is due at `until`; `paused`: its task is paused; `unknown-task`: the process that responds does not have the task; `limit`: `limit` jobs of its task run in that process, and no more may; `rate`: `limit` jobs of its task have started within `perMs`, and the next may start at `until`; `thread`: the job is due and starts as soon as a thread is free',
      ),
    until: instantSchema.exactOptional(),
    limit: z.int().min(1).exactOptional(),
    perMs: z.int().min(1).exactOptional(),
    ahead: z
      .int()
      .min(0)
      .exactOptional()
      .describe(
        'only for `thread`, in the response with a single job: the number of due jobs before this one; at most 1,000 are counted for each task and priority',
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
      .describe('`main`, `worker-N`, or `process-N` (a child process of that thread); null before the first start'),
    attempt: z.int().min(0).describe('number of spent attempts, including the current one; 0 before the first'),
    maxAttempts: z.int().min(0).describe('0: the request was invalid, and nothing has run'),
    queuedAt: instantSchema,
    startedAt: instantSchema.nullable(),
    finishedAt: instantSchema.nullable(),
    runAt: instantSchema.nullable().describe('when a waiting job is due'),
    lostStart: z
      .object({ startedAt: instantSchema, takenBackAt: instantSchema })
      .readonly()
      .exactOptional()
      .describe(
        'the latest start that ended because its process died, and when the job was taken back; such a start spends no attempt; absent if there is none',
      ),
    waiting: waitingSchema.nullable().describe('why the job does not run yet; null if it does not wait'),
    after: z
      .array(jobIndexSchema)
      .readonly()
      .exactOptional()
      .describe('the jobs whose results this job needs; absent if there are none'),
    waitsFor: z.array(jobIndexSchema).readonly().describe('the jobs whose results a blocked job still waits for'),
    progress: z
      .number()
      .min(0)
      .max(1)
      .nullable()
      .describe('the fraction that a running job has reported; null for all other jobs'),
    result: z.unknown().exactOptional().describe('null until the job is completed; left out in lists'),
    resultBytes: z.int().min(0).exactOptional().describe('replaces a large result in events and problems'),
    error: jobErrorSchema.nullable(),
    failures: z
      .array(jobFailureSchema)
      .readonly()
      .exactOptional()
      .describe('left out in lists, and in events if they are large'),
    failedAttempts: z
      .array(z.object(attemptTimes).readonly())
      .readonly()
      .exactOptional()
      .describe('replaces `failures` where they are left out: the times of the latest eight; absent if there are none'),
    steps: z
      .array(stepSchema)
      .readonly()
      .exactOptional()
      .describe(
        'stored steps, in the order in which they were stored; left out in lists, and in events if they are many',
      ),
  })
  .readonly()
  .describe('One task of a run, with its input')

/** The `data` of a `progress` event. */
export const progressSchema = z
  .object({
    jobIndex: jobIndexSchema,
    progress: z.number().min(0).max(1),
    message: z.string().exactOptional(),
  })
  .readonly()
  .describe('Progress of a running job')

export type ProgressView = z.output<typeof progressSchema>
export type JobView = z.output<typeof jobViewSchema>
type ErrorView = z.output<typeof jobErrorSchema>
export type ResultView = Pick<JobView, 'result' | 'resultBytes'>

/** Returns the progress of a job; null before its first report, and for a job that does not run in this process. */
export type ProgressOf = (runId: string, jobIndex: number) => Progress | null

export interface ViewOptions {
  /** False unless the service is being debugged: stacks reveal its inner workings. */
  readonly showsStacks: boolean
  /** False in lists. Default: true. */
  readonly showsResults?: boolean
  /** A larger result is replaced by its size. Default: no limit. */
  readonly maxResultBytes?: number
  /** Precedes each address if the service is not at the root of its host. Default: empty. */
  readonly prefix?: string
  /** Default: no progress is known. */
  readonly progressOf?: ProgressOf
  /** Default: no reason is known. */
  readonly whyWaiting?: WhyWaiting
  /** Returns the time of a run's commit; null if it is not known. Default: it is not known. */
  readonly committedAt?: (runId: string) => number | null
}

interface ShownResult {
  readonly view: ResultView
  /** Present if the stored result cannot be shown. */
  readonly error: ErrorView | null
}

/** Shows the result as the text that the task's thread wrote. A text that is too long is not even parsed. */
export function viewResult({ result, omitted }: JobRecord, maxBytes = Infinity): ShownResult {
  const bytes = result === null || maxBytes === Infinity ? 0 : Buffer.byteLength(result)
  const resultBytes = omitted?.resultBytes ?? (bytes > maxBytes ? bytes : null)
  if (resultBytes !== null) return { view: { resultBytes }, error: null }
  if (result === null) return { view: { result: null }, error: null }
  const fault = faultOf(result)
  if (fault === null) return { view: { result: new RawJson(result) }, error: null }
  const message = `the stored result cannot be shown: ${fault}`
  return { view: { result: null }, error: { code: 'invalid_result', message } }
}

/**
 * The service stores nothing but JSON. Another program may have written the row, and its run must be shown all the same.
 * @returns null for a result that can be shown
 */
function faultOf(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text)
    // Each level takes at least two brackets, so a short text cannot be too deep.
    const isDeep = text.length > 2 * maxJsonDepth && isTooDeep(value)
    return isDeep ? `it is nested more than ${maxJsonDepth} levels deep` : null
  } catch (error) {
    return String(error)
  }
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
    ...viewHistory(job, options),
  }
}

function viewWaiting(waiting: Waiting | null): JobView['waiting'] {
  if (waiting === null) return null
  return 'until' in waiting ? { ...waiting, until: instant(waiting.until) } : waiting
}

/** Only the times of failed attempts in lists, and for a job whose large members are not in memory. */
function viewHistory(job: JobRecord, { showsStacks, showsResults = true }: ViewOptions): Partial<JobView> {
  const { failures, steps = [], failedAttempts } = job
  if (!showsResults || job.omitted !== undefined) {
    return failedAttempts === undefined ? {} : { failedAttempts: failedAttempts.map(viewTimes) }
  }
  return {
    failures: failures.map(({ attempt, error, ...times }) => ({
      attempt,
      ...viewTimes(times),
      error: viewError(error, showsStacks),
    })),
    steps: steps.map(({ name, finishedAt }) => ({ name, finishedAt: instant(finishedAt) })),
  }
}

function viewTimes({ startedAt, finishedAt }: FailedAttempt) {
  return { startedAt: instant(startedAt), finishedAt: instant(finishedAt) }
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
