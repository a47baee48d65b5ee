/**
 * The HTTP side of a service: the table of all routes, and a Koa middleware for each place where they are mounted. The
 * middleware handles the paths of the routes and passes all others on.
 */
import { createRequire } from 'node:module'
import type * as KoaRouter from '@koa/router'
import type { Context } from 'koa'
import { AppError } from '../domain/errors.ts'
import type { WhyWaiting } from '../domain/job.ts'
import { createRunWatch, type Feed } from '../feed/feed.ts'
import { createLargeBodyParser } from './body/large-body-parser.ts'
import { createBodyReader } from './body/read-body.ts'
import { createByteBudget } from './byte-budget.ts'
import { type AskInProcess, createInProcess } from './in-process.ts'
import { isAsset, sendAsset } from './page.ts'
import { applyAccess, type Caller, createAuthenticate, keylessCaller } from './permissions.ts'
import { sendProblem } from './problem.ts'
import { originalUrlOf, withoutPrefix } from './request-head.ts'
import { createResponder } from './responder.ts'
import type { Handle, RouteDependencies, Mount, MountOptions, Route, ServiceParts } from './route.ts'
import {
  cancelJob,
  cancelRun,
  cancelRuns,
  removeRun,
  retryDelivery,
  retryJob,
  retryRuns,
} from './routes/change-runs.ts'
import { explainProblem, openapi, root } from './routes/documentation.ts'
import { getInput, getJob, getLog, getRun, watchRun } from './routes/get-run.ts'
import { listRuns, watchRuns } from './routes/list-runs.ts'
import { livez, prometheus, readyz, recent, stats } from './routes/monitoring.ts'
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
import { createStreamQuota } from './streaming/event-stream.ts'
import { createLongPolls } from './streaming/long-poll.ts'
import { createChangeStreams, createRunStreams } from './streaming/open-streams.ts'
import type { PathParameters } from './validation.ts'
import type { ProgressOf } from './views/job.ts'

// Not an import: that would import `node:http`, see `server.ts`.
const { Router } = createRequire(import.meta.url)('@koa/router') as typeof KoaRouter

/** In the order in which the documentation shows them. */
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

export interface Http {
  /** Mounts the routes in a server or in a host app. */
  mount(options: MountOptions): Mount
  /** Mounts the routes for calls from inside the process. @param prefix of the addresses in the calls */
  connect(prefix: string): AskInProcess
  /** Call it when a run was accepted or has changed: streams of `GET /runs/events` report it. */
  noteChange(): void
  openStreams(): number
  /** Ends all long polls; later ones end at once. */
  dismissPolls(): void
  /** Sends the newest state of its run on each stream, and ends the stream. */
  closeStreams(): Promise<void>
  /** Call it when no request is being handled any more. */
  stop(): void
}

export interface HttpOptions extends ServiceParts {
  readonly feed: Feed
  readonly progressOf: ProgressOf
  readonly whyWaiting: WhyWaiting
}

export function createHttp({ feed, progressOf, whyWaiting, ...parts }: HttpOptions): Http {
  const { config, store, log } = parts
  const { committedAt } = parts.intake
  const sharedView = { showsStacks: config.logLevel === 'debug', progressOf, whyWaiting, committedAt }
  const runWatch = createRunWatch(feed, store)
  const polls = createLongPolls(runWatch)
  const streamQuota = createStreamQuota(config.maxStreams)
  const streams = createRunStreams({ runWatch, quota: streamQuota, view: sharedView, log })
  const changeStreams = createChangeStreams(streamQuota)
  const largeBodies = createLargeBodyParser()
  const bodyBudget = createByteBudget(config.maxInFlightBytes)
  const responseBudget = createByteBudget(config.maxInFlightBytes)

  function mount(options: MountOptions): Mount {
    const view = { ...sharedView, prefix: options.prefix }
    const maxBytes = options.isInProcess === true ? Infinity : config.maxBodyBytes
    const readBody = createBodyReader({ maxBytes, largeBodies, budget: bodyBudget })
    const responder = createResponder({ view, store, budget: responseBudget, log })
    return createMount({ ...parts, ...options, view, readBody, responder, polls, streams, changeStreams })
  }

  return {
    mount,
    connect: (prefix) => createInProcess(mount({ prefix, isHosted: false, isInProcess: true }).middleware, log),
    noteChange: changeStreams.noteChange,
    openStreams: streamQuota.taken,
    dismissPolls: polls.dismiss,
    async closeStreams() {
      changeStreams.close()
      await streams.close()
    },
    stop: largeBodies.close,
  }
}

/** Without a prefix, the host app has these paths itself. */
const hostPaths: ReadonlySet<string> = new Set(['/', '/metrics', '/livez', '/readyz'])

const inProcessCaller: Caller = { access: 'write', scope: '' }

function createMount(dependencies: Omit<RouteDependencies, 'documentedRoutes'>): Mount {
  const { config, log, prefix, isHosted, isInProcess = false } = dependencies
  const leavesHostPaths = isHosted && prefix === ''
  const mounted = leavesHostPaths ? routeTable.filter(({ path }) => !hostPaths.has(path)) : routeTable
  // A process that only runs jobs documents no routes of runs. They are matched, because calls from inside the process may
  // use them; `handle` refuses others with a reason.
  const isWorker = config.role === 'worker'
  const documentedRoutes = isWorker ? mounted.filter(({ area }) => area === 'service') : mounted
  const servesPage = !isWorker && !leavesHostPaths
  const authenticate = createAuthenticate(config)
  const match = createMatcher(mounted, { ...dependencies, documentedRoutes })

  function callerOf(ctx: Context, isOpen: boolean): Caller {
    if (isInProcess) return inProcessCaller
    return isOpen ? keylessCaller : authenticate(ctx)
  }

  async function handle(ctx: Context, { methods, common, route }: Match): Promise<void> {
    ctx.set('X-Content-Type-Options', 'nosniff')
    if (isWorker && common.area === 'runs' && !isInProcess) {
      throw new AppError('not-found', `there is nothing at ${ctx.path} in a process that only runs jobs (ROLE=worker)`)
    }
    const { access, scope } = callerOf(ctx, common.isOpen === true)
    if (ctx.method === 'OPTIONS') {
      ctx.status = 204
      ctx.set('Allow', allowOf(methods))
      return
    }
    if (route === undefined) throw methodNotAllowed(ctx, methods)
    applyAccess(ctx, access)
    await route.handle(ctx, route.params, scope)
  }

  return {
    async middleware(ctx, next) {
      const fullPath = pathOf(ctx)
      const path = fullPath && withoutPrefix(prefix, fullPath, originalUrlOf(ctx.req, ctx.originalUrl))
      if (fullPath === undefined || path === undefined) return next()
      const matched = match(path, ctx.method)
      if (matched === undefined && servesPage && sendAsset(ctx, path)) return
      if (matched === undefined) return next()
      try {
        // Routes know paths without the prefix. The host app gets its path back.
        if (path !== fullPath) ctx.path = path
        await handle(ctx, matched)
      } catch (error) {
        sendProblem(ctx, error, log, prefix)
      } finally {
        if (path !== fullPath) ctx.path = fullPath
      }
    },
    owns(target, incoming) {
      const path = withoutPrefix(prefix, target.replace(/\?.*$/s, ''), originalUrlOf(incoming))
      if (path === undefined) return false
      return (servesPage && isAsset(path)) || match(path, incoming.method ?? 'GET') !== undefined
    },
  }
}

/** What is known about a path that routes have. */
interface Match {
  readonly methods: ReadonlySet<string>
  /** The same for all routes with this path. */
  readonly common: Pick<Route, 'isOpen' | 'area'>
  /** undefined: no route has this path and the method of the request. */
  readonly route: { readonly handle: Handle; readonly params: PathParameters } | undefined
}

/** @returns undefined if no route has the path */
type Matcher = (path: string, method: string) => Match | undefined

/**
 * The router requires a handler. It only matches, and never calls it: the handler to call is in `Match`. Dispatching would
 * match again, and would overwrite what a router of the host app has noted in the context about its own match.
 */
const neverCalled = (): void => {}

/** Creates the handlers of the routes for one place where they are mounted. */
function createMatcher(routes: readonly Route[], dependencies: RouteDependencies): Matcher {
  const router = new Router()
  // By operationId, which is also the name of a route in the router.
  const byName = new Map(routes.map((route) => [route.operationId, { route, handle: route.create(dependencies) }]))
  for (const { method, path, operationId } of routes) {
    const verb = method.toLowerCase() as Lowercase<typeof method>
    router[verb](operationId, path.replaceAll(/\{(\w+)\}/g, ':$1'), neverCalled)
  }

  function find(path: string, method: string): Match | undefined {
    const { path: matching } = router.match(path, method)
    // `/runs/cancel` also matches `/runs/{id}`.
    const literal = matching.filter((layer) => layer.path === path)
    const layers = literal.length > 0 ? literal : matching
    const common = byName.get(layers[0]?.name ?? '')?.route
    if (common === undefined) return undefined
    const layer = layers.find(({ methods }) => methods.includes(method))
    const handle = byName.get(layer?.name ?? '')?.handle
    return {
      methods: new Set(layers.flatMap(({ methods }) => methods)),
      common,
      route: layer && handle && { handle, params: layer.params(path, layer.captures(path)) },
    }
  }

  // A host app calls `owns` first and then the middleware: the second call need not match again.
  let last: { readonly path: string; readonly method: string; readonly match: Match | undefined } | undefined
  return (path, method) => {
    if (last?.path !== path || last.method !== method) last = { path, method, match: find(path, method) }
    return last.match
  }
}

/** @returns undefined if the target is not a URL: that is for the host app to answer */
function pathOf(ctx: Context): string | undefined {
  try {
    return ctx.path
  } catch {
    return undefined
  }
}

function allowOf(methods: ReadonlySet<string>): string {
  return [...methods, 'OPTIONS'].join(', ')
}

function methodNotAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = allowOf(methods)
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
