/** Views as JSON text. A result that was stored too deep to be written is left out, and its job says why. */
import { isTooDeep, maxJsonDepth } from '../domain/json-depth.ts'
import { unreadable } from './run-view.ts'

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
