/** The JSON form of problems (RFC 9457): what all of them have, and what each has of its own. */
import { z } from 'zod'
import { failureStatuses } from '../../domain/answer.ts'
import { problems, type ProblemCode } from '../../domain/errors.ts'
import { jobErrorSchema, jobViewSchema } from './job.ts'
import { runIdSchema } from './run.ts'

const issues = z
  .array(
    z
      .object({ pointer: z.string().describe('JSON Pointer (RFC 6901) into the request body'), detail: z.string() })
      .readonly(),
  )
  .readonly()
const jobIndex = z.int().min(0)
const jobs = z.array(jobViewSchema).readonly()

const standard = {
  type: z.string().describe('leads to a page that explains the problem'),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  instance: z.string(),
}

/** Any problem, as who reads one without knowing which. */
export const problemSchema = z
  .object({
    ...standard,
    runId: runIdSchema.exactOptional(),
    jobIndex: jobIndex.nullable().exactOptional(),
    errors: issues.exactOptional(),
    error: jobErrorSchema.nullable().exactOptional(),
    jobs: jobs.exactOptional(),
  })
  .readonly()
  .describe('A problem (RFC 9457)')

export type ProblemDocument = z.output<typeof problemSchema>
export type StandardMembers = Pick<ProblemDocument, keyof typeof standard>

const runId = runIdSchema
const maybeRunId = runIdSchema.exactOptional().describe('of the run that was accepted, where one was')

/** Members beside the standard ones. */
const ownMembers: Partial<Record<ProblemCode, z.ZodRawShape>> = {
  'validation-error': { errors: issues },
  'unknown-task': { errors: issues },
  'too-many-tasks': { errors: issues },
  'job-not-found': { runId },
  'idempotency-key-reused': { runId },
  'idempotency-in-progress': { runId },
  'not-cancellable': { runId },
  'not-retryable': { runId },
  'run-active': { runId },
  'first-task-failed': { runId, jobIndex, error: jobErrorSchema.nullable() },
  'all-tasks-failed': { runId, jobIndex: z.null(), jobs },
  'tasks-failed': { runId, jobIndex: z.null(), jobs },
  overloaded: { runId: maybeRunId },
  'store-unavailable': { runId: maybeRunId },
}

/** This problem alone, with its constant `type`, `title` and `status`. */
export function problemSchemaOf(code: ProblemCode): z.ZodObject {
  const { title, status, meaning } = problems[code]
  return z
    .object({
      ...standard,
      type: z.literal(`/problems/${code}`),
      title: z.literal(title),
      // A failed first task may answer with a status of its own.
      status: code === 'first-task-failed' ? z.literal([...failureStatuses, 500]) : z.literal(status),
      ...ownMembers[code],
    })
    .describe(meaning)
}
