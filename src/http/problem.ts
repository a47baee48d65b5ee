/** TurnScheduler whatever a route throws into an answer of type application/problem+json (RFC 9457), at one place. */
import type { Context } from 'koa'
import { AppError, problems, type ProblemCode } from '../domain/errors.ts'
import type { Log } from '../log.ts'
import type { StandardMembers } from './schemas/problem.ts'
import { dropBody } from './unread-body.ts'
import { writeJson } from './write-json.ts'

/** Seconds after which a request that was refused for now can be tried again. */
export const retryAfterS: Partial<Record<ProblemCode, number>> = {
  overloaded: 1,
  'idempotency-in-progress': 1,
  'too-many-streams': 5,
  'shutting-down': 5,
  'store-unavailable': 5,
}

/**
 * Answers with the problem that `thrown` is; what is not an AppError is logged whole and tells nothing.
 * @param prefix of all addresses; the path of the request has none
 */
export function answerProblem(ctx: Context, thrown: unknown, log: Log, prefix = ''): void {
  const error =
    thrown instanceof AppError ? thrown : new AppError('internal', 'something went wrong inside the service')
  if (error.code === 'internal') log.error({ err: thrown, method: ctx.method, path: ctx.path }, 'a request failed')
  if (error.code === 'store-unavailable') log.warn({ err: thrown, path: ctx.path }, 'the store is unavailable')

  const { runId } = error.members
  const standard: StandardMembers = {
    type: `${prefix}/problems/${error.code}`,
    title: problems[error.code].title,
    status: error.status,
    detail: detailOf(error),
    instance: prefix + (runId === undefined ? ctx.path : `/runs/${runId}`),
  }
  if (runId !== undefined) ctx.set('Link', `<${prefix}/runs/${runId}>; rel="monitor"`)
  const after = retryAfterS[error.code]
  if (after !== undefined) ctx.set('Retry-After', String(after))
  dropBody(ctx)
  ctx.set({ 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' })
  ctx.status = error.status
  ctx.body = writeJson({ ...standard, ...error.members })
  ctx.type = 'application/problem+json'
}

/** What has gone wrong inside is for the log: of the database, its text names hosts, files and statements. */
const insideDetails: Partial<Record<ProblemCode, string>> = {
  internal: 'something went wrong inside the service',
  'store-unavailable': 'the database does not answer, or cannot write',
}

function detailOf({ code, message, members }: AppError): string {
  // Of an accepted run it is said, in words of ours, what cannot be done with it.
  return (members.runId === undefined ? insideDetails[code] : undefined) ?? message
}
