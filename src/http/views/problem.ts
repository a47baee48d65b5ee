/** The JSON form of problems (RFC 9457). Which members a problem has of its own is said in the table of problems. */
import { z } from 'zod'
import { failureStatuses } from '../../domain/run.ts'
import { type ProblemMembers, problems } from '../../domain/errors.ts'
import type { ProblemCode } from '../../domain/problems.ts'
import { jobErrorSchema, jobViewSchema } from './job.ts'
import { runIdSchema } from './run.ts'

const standard = {
  type: z.string().describe('leads to a page that explains the problem'),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  instance: z.string(),
}

const pointer = z.string().describe('JSON Pointer (RFC 6901) into the request body')

const jobIndex = z.int().min(0)

const own = {
  runId: runIdSchema,
  jobIndex: jobIndex.nullable(),
  errors: z.array(z.object({ pointer, detail: z.string() }).readonly()).readonly(),
  error: jobErrorSchema.nullable(),
  jobs: z.array(jobViewSchema).readonly(),
} satisfies Record<keyof ProblemMembers, z.ZodType>

/** Any problem, for a reader that does not know which. */
export const problemSchema = z
  .object({
    ...standard,
    runId: own.runId.exactOptional(),
    jobIndex: own.jobIndex.exactOptional(),
    errors: own.errors.exactOptional(),
    error: own.error.exactOptional(),
    jobs: own.jobs.exactOptional(),
  })
  .readonly()
  .describe('A problem (RFC 9457)')

export type ProblemDocument = z.output<typeof problemSchema>
export type StandardMembers = Pick<ProblemDocument, keyof typeof standard>

/** This problem alone, with its constant `type`, `title` and `status`. */
export function problemSchemaOf(code: ProblemCode): z.ZodObject {
  const { title, status, meaning, members = [], mayHave = [] } = problems[code]
  return z
    .object({
      ...standard,
      type: z.literal(`/problems/${code}`),
      title: z.literal(title),
      // A failed first task may answer with a status of its own.
      status: code === 'first-task-failed' ? z.literal([...failureStatuses, 500]) : z.literal(status),
      ...Object.fromEntries(members.map((name) => [name, own[name]])),
      // All jobs together are not one of them.
      ...(members.includes('jobIndex') && { jobIndex: members.includes('jobs') ? z.null() : jobIndex }),
      ...Object.fromEntries(
        mayHave.map((name) => [name, own[name].exactOptional().describe('where a run was accepted')]),
      ),
    })
    .describe(meaning)
}
