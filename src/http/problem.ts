/** Problems (RFC 9457): their JSON form, and the response that is made of an error. */
import type { Context } from 'koa'
import { z } from 'zod'
import { failureStatuses } from '../domain/run.ts'
import { AppError } from '../domain/errors.ts'
import { type ProblemCode, type ProblemMembers, problems } from '../domain/problems.ts'
import type { Log } from '../log.ts'
import { jobErrorSchema, jobViewSchema } from './views/job.ts'
import { writeJson } from '../domain/json.ts'
import { runIdSchema } from './views/run.ts'

const standardMembers = {
  type: z.string().describe('leads to a page that explains the problem'),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  instance: z.string(),
}

const pointer = z.string().describe('JSON Pointer (RFC 6901) into the request body')

const jobIndex = z.int().min(0)

const ownMembers = {
  runId: runIdSchema,
  jobIndex: jobIndex.nullable(),
  errors: z.array(z.object({ pointer, detail: z.string() }).readonly()).readonly(),
  error: jobErrorSchema.nullable(),
  jobs: z.array(jobViewSchema).readonly(),
} satisfies Record<keyof ProblemMembers, z.ZodType>

/** Any problem, for a reader that does not know which. */
export const problemSchema = z
  .object({
    ...standardMembers,
    runId: ownMembers.runId.exactOptional(),
    jobIndex: ownMembers.jobIndex.exactOptional(),
    errors: ownMembers.errors.exactOptional(),
    error: ownMembers.error.exactOptional(),
    jobs: ownMembers.jobs.exactOptional(),
  })
  .readonly()
  .describe('A problem (RFC 9457)')

export type ProblemDocument = z.output<typeof problemSchema>
export type StandardMembers = Pick<ProblemDocument, keyof typeof standardMembers>

/** This problem alone, with its constant `type`, `title` and `status`. */
export function problemSchemaOf(code: ProblemCode): z.ZodObject {
  const { title, status, meaning, members = [], mayHave = [] } = problems[code]
  return z
    .object({
      ...standardMembers,
      type: z.literal(`/problems/${code}`),
      title: z.literal(title),
      // A failed first task may answer with a status of its own.
      status: code === 'first-task-failed' ? z.literal([...failureStatuses, 500]) : z.literal(status),
      ...Object.fromEntries(members.map((name) => [name, ownMembers[name]])),
      // All jobs together are not one of them.
      ...(members.includes('jobIndex') && { jobIndex: members.includes('jobs') ? z.null() : jobIndex }),
      ...Object.fromEntries(
        mayHave.map((name) => [name, ownMembers[name].exactOptional().describe('where a run was accepted')]),
      ),
    })
    .describe(meaning)
}

/** The body of a request that is refused is read and dropped up to this; above it, the connection is closed. */
const maxDroppedBytes = 65_536

/** What has gone wrong inside is for the log: of the database, its text names hosts, files and statements. */
const insideDetails: Partial<Record<ProblemCode, string>> & { readonly internal: string } = {
  internal: 'something went wrong inside the service',
  'store-unavailable': 'the database does not answer, or cannot write',
}

/**
 * Responds with the problem that `thrown` is; what is not an AppError is logged whole, and its response says nothing of it.
 * @param prefix of all addresses; the path of the request has none
 */
export function sendProblem(ctx: Context, thrown: unknown, log: Log, prefix = ''): void {
  const error = thrown instanceof AppError ? thrown : new AppError('internal', insideDetails.internal)
  if (error.code === 'internal') log.error({ err: thrown, method: ctx.method, path: ctx.path }, 'a request failed')
  if (error.code === 'store-unavailable') log.warn({ err: thrown, path: ctx.path }, 'the store is unavailable')

  const { runId } = error.members
  const { title, retryAfterS } = problems[error.code]
  const shown: StandardMembers = {
    type: `${prefix}/problems/${error.code}`,
    title,
    status: error.status,
    detail: detailOf(error),
    instance: prefix + (runId === undefined ? ctx.path : `/runs/${runId}`),
  }
  if (runId !== undefined) ctx.set('Link', `<${prefix}/runs/${runId}>; rel="monitor"`)
  if (retryAfterS !== undefined) ctx.set('Retry-After', String(retryAfterS))
  dropBody(ctx)
  ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
  ctx.status = error.status
  ctx.body = writeJson({ ...shown, ...error.members })
  ctx.type = 'application/problem+json'
}

function detailOf({ code, message, members }: AppError): string {
  // Of an accepted run it is said, in words of ours, what cannot be done with it.
  return (members.runId === undefined ? insideDetails[code] : undefined) ?? message
}

/** The rest of the body is not read. Called before the response is sent. */
function dropBody(ctx: Context): void {
  const { req } = ctx
  if (req.complete) return
  const { 'content-length': announced = '0', 'transfer-encoding': coding } = req.headers
  if (coding !== undefined || Number(announced) > maxDroppedBytes) ctx.set('Connection', 'close')
  // A reader that has given up leaves it paused, and the client waiting to send.
  req.unpipe()
  req.resume()
}
