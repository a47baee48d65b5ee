/** The JSON form of a job and of what went wrong with it. */
import { z } from 'zod'
import { jobErrorCodes, jobStates } from '../../domain/job.ts'

export const instantSchema = z.iso.datetime({ precision: 3 }).describe('UTC with milliseconds')

export const jobIndexSchema = z.int().min(0)

/** What was thrown tells of itself; the same for each of its causes. */
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

export const jobFailureSchema = z
  .object({
    attempt: z.int().min(1),
    startedAt: instantSchema,
    finishedAt: instantSchema,
    error: jobErrorSchema,
  })
  .readonly()
  .describe('One unsuccessful attempt')

export const jobViewSchema = z
  .object({
    index: jobIndexSchema,
    task: z.string(),
    state: z.enum(jobStates),
    thread: z.string().nullable().describe('`main`, `worker-N`, or null before the first start'),
    attempt: z.int().min(0).describe('spent attempts and the one under way; 0 before the first'),
    maxAttempts: z.int().min(1),
    queuedAt: instantSchema,
    startedAt: instantSchema.nullable(),
    finishedAt: instantSchema.nullable(),
    runAt: instantSchema.nullable().describe('when a waiting job is due'),
    progress: z.number().min(0).max(1).nullable().describe('of a running job that tells; else null'),
    result: z.unknown().exactOptional().describe('null until completed; left out in lists'),
    resultBytes: z.int().min(0).exactOptional().describe('in events and problems, in place of a large result'),
    error: jobErrorSchema.nullable(),
    failures: z
      .array(jobFailureSchema)
      .readonly()
      .exactOptional()
      .describe('left out in lists, and in events where they are large'),
  })
  .readonly()
  .describe('One task of a run, with its input')
