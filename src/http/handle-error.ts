/** Turns whatever a route throws into an answer of type application/problem+json (RFC 9457), at one place. */
import type { Context } from 'koa'
import { AppError, problems } from '../domain/errors.ts'
import type { ProblemCode } from '../domain/problems.ts'
import type { Log } from '../log.ts'
import { writeJson } from './views/json.ts'
import type { StandardMembers } from './views/problem.ts'

/** The body of a request that is refused is read and dropped up to this; above it, the connection is closed. */
const maxDroppedBytes = 65_536

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
  const { title, retryAfterS } = problems[error.code]
  const standard: StandardMembers = {
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

/** Nobody will read what is still to come of it. Called before the answer is sent. */
function dropBody(ctx: Context): void {
  const { req } = ctx
  if (req.complete) return
  const { 'content-length': announced = '0', 'transfer-encoding': coding } = req.headers
  if (coding !== undefined || Number(announced) > maxDroppedBytes) ctx.set('Connection', 'close')
  // A reader that has given up leaves it paused, and the client waiting to send.
  req.unpipe()
  req.resume()
}
