/** Every route of the service, in the order in which they are shown; and which of them a request is for. */
import type * as KoaRouter from '@koa/router'
import { createRequire } from 'node:module'
import type { PathParameters } from './requested-runs.ts'
import type { Handle, HttpDeps, Route } from './route.ts'
import { cancelJob, cancelRun, removeRun, retryDelivery, retryJob } from './routes/change-run.ts'
import { getInput, getJob, getLog, getRun } from './routes/get-run.ts'
import { livez, prometheus, readyz, recent, stats } from './routes/monitoring.ts'
import { cancelRuns, listRuns, retryRuns } from './routes/runs.ts'
import { explainProblem, openapi, root } from './routes/documentation.ts'
import { runTasks } from './routes/run-tasks.ts'
import {
  getSchedule,
  listSchedules,
  pauseSchedule,
  putSchedule,
  removeSchedule,
  resumeSchedule,
  runSchedule,
} from './routes/schedules.ts'
import { listTasks, pauseTask, resumeTask, taskStats } from './routes/tasks.ts'
import { watchRun, watchRuns } from './routes/watch-runs.ts'

// Not imported: its module would import `node:http`, see `server.ts`.
const { Router } = createRequire(import.meta.url)('@koa/router') as typeof KoaRouter

export const routeTable: readonly Route[] = [
  runTasks,
  listRuns,
  cancelRuns,
  retryRuns,
  watchRuns,
  getRun,
  getJob,
  getInput,
  getLog,
  watchRun,
  cancelRun,
  cancelJob,
  retryJob,
  retryDelivery,
  removeRun,
  listSchedules,
  getSchedule,
  putSchedule,
  removeSchedule,
  runSchedule,
  pauseSchedule,
  resumeSchedule,
  listTasks,
  taskStats,
  pauseTask,
  resumeTask,
  stats,
  recent,
  prometheus,
  livez,
  readyz,
  openapi,
  explainProblem,
  root,
]

/** A path of ours; all routes of one path are open, or of runs, alike. */
export interface Match {
  readonly methods: ReadonlySet<string>
  readonly isOpen: boolean
  readonly isOfRuns: boolean
  /** Of the path and the method; undefined where the path has not this method. */
  readonly route: { readonly handle: Handle; readonly params: PathParameters } | undefined
}

/** Undefined for a path of nobody's. */
export type FindRoute = (path: string, method: string) => Match | undefined

/** Makes the handlers of these routes, for one place where they are mounted. */
export function createFindRoute(routes: readonly Route[], deps: HttpDeps): FindRoute {
  const router = new Router()
  const byName = new Map(routes.map((route) => [route.operationId, { route, handle: route.create(deps) }]))
  for (const { method, path, operationId } of routes) {
    const verb = method.toLowerCase() as Lowercase<typeof method>
    // Matching is all that the router does: to dispatch, it would match again, and it would note its matches where a
    // router of the app around has noted its own.
    router[verb](operationId, path.replaceAll(/\{(\w+)\}/g, ':$1'), () => {})
  }

  function match(path: string, method: string): Match | undefined {
    const { path: matching } = router.match(path, method)
    // `/runs/cancel` is a path of its own, and no run.
    const literal = matching.filter((layer) => layer.path === path)
    const layers = literal.length > 0 ? literal : matching
    const [first] = layers.map(({ name = '' }) => byName.get(name)?.route)
    if (first === undefined) return undefined
    const layer = layers.find(({ methods }) => methods.includes(method))
    const handle = byName.get(layer?.name ?? '')?.handle
    return {
      methods: new Set(layers.flatMap(({ methods }) => methods)),
      isOpen: first.isOpen === true,
      isOfRuns: first.area === 'runs',
      route: layer && handle && { handle, params: layer.params(path, layer.captures(path)) },
    }
  }

  let last: { readonly path: string; readonly method: string; readonly match: Match | undefined } | undefined
  // An app around asks first whether a path is ours: the same request is not matched again.
  return (path, method) => {
    if (last?.path !== path || last.method !== method) last = { path, method, match: match(path, method) }
    return last.match
  }
}
