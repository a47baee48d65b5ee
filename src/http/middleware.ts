/** All routes as one Koa middleware, which leaves paths that are not its own to whatever comes after it. */
import type { RouterMiddleware } from '@koa/router'
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { createAuthenticate } from './authenticate.ts'
import { createBodyReader } from './body.ts'
import type { HttpDeps } from './deps.ts'
import { isInProcess } from './in-process.ts'
import { originalUrlOf, pathBehind, pathsOfTheHost, type MountOptions } from './mount.ts'
import { routeTable } from './openapi/route-table.ts'
import type { Route } from './openapi/route.ts'
import { runRoutes } from './openapi/run-routes.ts'
import { serviceRoutes } from './openapi/service-routes.ts'
import { isAsset, sendAsset } from './page/page.ts'
import { answerProblem } from './problem.ts'
import { createRouter } from './lazy-http.ts'
import { createCancelRoute } from './routes/cancel.ts'
import { createBulkRoutes } from './routes/change-runs.ts'
import { createEventsRoute } from './routes/events.ts'
import { createOpenapiRoute } from './routes/openapi.ts'
import { createRecentRoute } from './routes/recent.ts'
import { createRemoveRoute } from './routes/remove.ts'
import { createRetryRoute } from './routes/retry.ts'
import { createRootRoute } from './routes/root.ts'
import { createRunTasks } from './routes/run-tasks.ts'
import { createRunRoutes } from './routes/runs.ts'
import { createServiceRoutes } from './routes/service.ts'

/** The paths of these, as the routes below write them. */
function pathsOf(routes: readonly Route[]): ReadonlySet<string | RegExp> {
  return new Set(routes.map(({ path }) => path.replaceAll(/\{(\w+)\}/g, ':$1')))
}

/** What needs no API key. */
const openPaths = pathsOf(routeTable.filter(({ isOpen }) => isOpen))
/** What a process leaves to others that only runs jobs. */
const runPaths = pathsOf(runRoutes)

export interface Mount {
  /** Leaves what is none of its paths to whatever comes after it. */
  readonly middleware: Middleware
  /** @param target path and query */
  owns(target: string, incoming: IncomingMessage): boolean
}

export function createMount(deps: HttpDeps & MountOptions): Mount {
  const { prefix, log } = deps
  const left = deps.isHosted && prefix === '' ? pathsOfTheHost : new Set()
  const runs = createRunRoutes(deps)
  const service = createServiceRoutes(deps)
  const cancel = createCancelRoute(deps)
  const { cancelRuns, retryRuns } = createBulkRoutes(deps)
  const authenticate = createAuthenticate(deps.config)
  /** Before the body is read: what will be refused is not worth it. */
  const checkRoom: RouterMiddleware = (_ctx, next) => {
    deps.intake.checkRoom()
    return next()
  }
  const { bodyParser: parser, bodyBudget: budget } = deps
  const readBody = createBodyReader({ maxBytes: deps.config.maxBodyBytes, parser, budget })
  const readOwnBody = createBodyReader({ maxBytes: Infinity, parser, budget })
  const isWorker = deps.config.role === 'worker'
  const servesPage = !isWorker && !left.has('/')
  const receiveBody: RouterMiddleware = (ctx, next) => (isInProcess(ctx.req) ? readOwnBody : readBody)(ctx, next)
  const documented = (isWorker ? serviceRoutes : routeTable).filter(({ path }) => !left.has(path))
  const router = createRouter()
    .post('/run-tasks', checkRoom, receiveBody, createRunTasks(deps))
    .get('/runs', runs.listRuns)
    .post('/runs/cancel', cancelRuns)
    .post('/runs/retry', retryRuns)
    .get('/runs/:id', runs.getRun)
    .get('/runs/:id/jobs/:index', runs.getJob)
    .get('/runs/:id/events', createEventsRoute(deps))
    .post('/runs/:id/cancel', cancel)
    .post('/runs/:id/jobs/:index/cancel', cancel)
    .post('/runs/:id/jobs/:index/retry', createRetryRoute(deps))
    .delete('/runs/:id', createRemoveRoute(deps))
    .get('/tasks', service.tasks)
    .get('/stats', service.stats)
    .get('/stats/recent', createRecentRoute(deps))
    .get('/metrics', service.prometheus)
    .get('/livez', service.livez)
    .get('/readyz', service.readyz)
    .get('/openapi.json', createOpenapiRoute(documented, prefix))
    .get('/problems/:slug', service.problem)
    .get('/', createRootRoute(prefix, !isWorker))
  const routes = router.routes()

  function matchOf(target: string, method: string) {
    const { path: matching, route } = router.match(target, method)
    // `/runs/cancel` is a path of its own, and no run.
    const literal = matching.filter((layer) => layer.path === target)
    const path = literal.length > 0 ? literal : matching
    return { path: left.size === 0 ? path : path.filter((layer) => !left.has(layer.path)), route }
  }

  const middleware: Middleware = async (ctx, next) => {
    const given = pathOf(ctx)
    const target = given === undefined ? undefined : pathBehind(prefix, given, originalUrlOf(ctx.req, ctx.originalUrl))
    if (target === undefined) return next()
    if (servesPage && sendAsset(ctx, target)) return
    const { path, route } = matchOf(target, ctx.method)
    if (path.length === 0) return next()
    try {
      // As the routes have it, and as long as they need it.
      if (target !== given) ctx.path = target
      ctx.set('X-Content-Type-Options', 'nosniff')
      const isOwn = isInProcess(ctx.req)
      if (isWorker && !isOwn && path.some((layer) => runPaths.has(layer.path))) throw notHere(ctx)
      const isOpen = path.every((layer) => openPaths.has(layer.path))
      const key = isOwn ? 'write' : isOpen ? 'none' : authenticate(ctx)
      const methods = new Set(path.flatMap((layer) => layer.methods))
      if (ctx.method === 'OPTIONS') answerOptions(ctx, methods)
      else if (!route || !methods.has(ctx.method)) throw notAllowed(ctx, methods)
      else if (key === 'read' && !isReading(ctx)) throw readOnlyKey()
      else if (key === 'none' && isOfAnotherSite(ctx)) throw crossSite()
      else await Reflect.apply(routes, undefined, [ctx, async () => {}])
    } catch (error) {
      answerProblem(ctx, error, log, prefix)
    } finally {
      if (given !== undefined && target !== given) ctx.path = given
    }
  }

  return {
    middleware,
    owns(target, incoming) {
      const path = pathBehind(prefix, target.replace(/\?.*$/s, ''), originalUrlOf(incoming))
      if (path === undefined) return false
      return (servesPage && isAsset(path)) || matchOf(path, incoming.method ?? 'GET').path.length > 0
    },
  }
}

/** Undefined for a target that is no URL: in an app of somebody else's, it is that app's to answer. */
function pathOf(ctx: Context): string | undefined {
  try {
    return ctx.path
  } catch {
    return undefined
  }
}

/** Of what changes something; reading, the browser keeps the answer from the other site. */
function isOfAnotherSite(ctx: Context): boolean {
  return ctx.get('Sec-Fetch-Site') === 'cross-site' && !isReading(ctx)
}

function isReading({ method }: Context): boolean {
  return method === 'GET' || method === 'HEAD'
}

function answerOptions(ctx: Context, methods: ReadonlySet<string>): void {
  ctx.status = 204
  ctx.set('Allow', [...methods, 'OPTIONS'].join(', '))
}

function notHere({ path }: Context): AppError {
  return new AppError('not-found', `there is nothing at ${path} in a process that only runs jobs (ROLE=worker)`)
}

function readOnlyKey(): AppError {
  return new AppError('read-only-key', 'this key may read, and not start, change or delete anything')
}

function crossSite(): AppError {
  return new AppError('cross-site', 'a web page of another site must not start or end work here')
}

function notAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = [...methods, 'OPTIONS'].join(', ')
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
