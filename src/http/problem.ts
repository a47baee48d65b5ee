/** Problems (RFC 9457): their schemas, and the response to a request that failed. */
import type { Context } from 'koa'
import { z } from 'zod'
import { failureStatuses } from '../domain/run.ts'
import { AppError } from '../domain/errors.ts'
import { type ProblemCode, type ProblemMembers, problems } from '../domain/problems.ts'
import type { Log } from '../log.ts'
import { jobErrorSchema, jobIndexSchema, jobViewSchema } from './views/job.ts'
import { writeJson } from '../domain/json.ts'
import { runIdSchema } from './views/run.ts'

const standardMembers = {
  type: z.string().describe('address of a page that explains the problem'),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  instance: z.string(),
}

const pointer = z.string().describe('JSON Pointer (RFC 6901) into the request body')

/** Members that only some problems have. */
const ownMembers = {
  runId: runIdSchema,
  jobIndex: jobIndexSchema.nullable(),
  errors: z.array(z.object({ pointer, detail: z.string() }).readonly()).readonly(),
  error: jobErrorSchema.nullable(),
  jobs: z.array(jobViewSchema).readonly(),
} satisfies Record<keyof ProblemMembers, z.ZodType>

/** Any problem. */
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

/** The problem with this code, with its constant `type`, `title` and `status`. */
export function problemSchemaOf(code: ProblemCode): z.ZodObject {
  const { title, status, meaning, members = [], mayHave = [] } = problems[code]
  return z
    .object({
      ...standardMembers,
      type: z.literal(`/problems/${code}`),
      title: z.literal(title),
      // A failed first task may set the status.
      status: code === 'first-task-failed' ? z.literal([...failureStatuses, 500]) : z.literal(status),
      ...Object.fromEntries(members.map((name) => [name, ownMembers[name]])),
      // A problem with `jobs` is about all of them together, so it names none.
      ...(members.includes('jobIndex') && { jobIndex: members.includes('jobs') ? z.null() : jobIndexSchema }),
      ...Object.fromEntries(
        mayHave.map((name) => [name, ownMembers[name].exactOptional().describe('only if a run was accepted')]),
      ),
    })
    .describe(meaning)
}

/** The rest of a refused body is read and dropped up to this size. Above it, the connection is closed. */
const maxDroppedBytes = 65_536

/** These replace messages that are for the log alone: those of the database name hosts, files and statements. */
const publicDetails: Partial<Record<ProblemCode, string>> & { readonly internal: string } = {
  internal: 'something went wrong inside the service',
  'store-unavailable': 'the database does not answer, or cannot write',
}

/**
 * Responds with the problem of a thrown error. Any error but an AppError is logged whole and becomes `internal`, which
 * reveals nothing of it.
 * @param prefix precedes each address; `ctx.path` does not have it
 */
export function sendProblem(ctx: Context, thrown: unknown, log: Log, prefix = ''): void {
  const error = thrown instanceof AppError ? thrown : new AppError('internal', publicDetails.internal)
  const { code, status, members } = error
  if (code === 'internal') log.error({ err: thrown, method: ctx.method, path: ctx.path }, 'a request failed')
  if (code === 'store-unavailable') log.warn({ err: thrown, path: ctx.path }, 'the store is unavailable')

  const { runId } = members
  const { title, retryAfterS } = problems[code]
  const standard: StandardMembers = {
    type: `${prefix}/problems/${code}`,
    title,
    status,
    detail: detailOf(error),
    instance: prefix + (runId === undefined ? ctx.path : `/runs/${runId}`),
  }
  if (runId !== undefined) ctx.set('Link', `<${prefix}/runs/${runId}>; rel="monitor"`)
  if (retryAfterS !== undefined) ctx.set('Retry-After', String(retryAfterS))
  dropBody(ctx)
  ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
  ctx.status = status
  ctx.body = writeJson({ ...standard, ...members })
  ctx.type = 'application/problem+json'
}

function detailOf({ code, message, members }: AppError): string {
  // The message about an accepted run is the service's own, and has no text of the database.
  if (members.runId !== undefined) return message
  return publicDetails[code] ?? message
}

/** Drops the unread rest of the request's body. Called before the response is sent. */
function dropBody(ctx: Context): void {
  const { req } = ctx
  if (req.complete) return
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = req.headers
  if (encoding !== undefined || Number(length) > maxDroppedBytes) ctx.set('Connection', 'close')
  // A reader that gave up has left the request paused, and the client waits until it can send.
  req.unpipe()
  req.resume()
}
