/** Views as JSON text. */
import type { Context } from 'koa'
import { isTooDeep, maxJsonDepth } from '../../domain/json.ts'
import { unreadable } from './job.ts'

/**
 * As text, not as the value: Koa asks of an object whether it is a Response, for which Node has to load all of `fetch`
 * while the first caller waits (measured: 40 ms and more).
 */
export function sendJson(ctx: Context, view: unknown): void {
  sendText(ctx, writeJson(view))
}

export function sendText(ctx: Context, json: string): void {
  ctx.set('Content-Type', 'application/json; charset=utf-8')
  ctx.body = json
}

/** A result that was stored too deep to be written is left out, and its job says why. */
export function writeJson(view: unknown): string {
  try {
    return JSON.stringify(view)
  } catch {
    return JSON.stringify(withoutDeep(view))
  }
}

/** Of a run, a job, a list of runs or a problem, in which they are. */
function withoutDeep(view: unknown): unknown {
  if (Array.isArray(view)) return view.map(withoutDeep)
  if (typeof view !== 'object' || view === null) return view
  const members: Record<string, unknown> = { ...view }
  const { jobs, runs, results, result, error } = members
  const isDeep = isTooDeep(result)
  return {
    ...members,
    ...(jobs !== undefined && { jobs: withoutDeep(jobs) }),
    ...(runs !== undefined && { runs: withoutDeep(runs) }),
    ...(Array.isArray(results) && { results: results.map((each) => (isTooDeep(each) ? null : each)) }),
    ...(isDeep && { result: null }),
    ...(isDeep && error === null && { error: unreadable(`it is nested more than ${maxJsonDepth} levels deep`) }),
  }
}
