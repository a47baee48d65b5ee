/**
 * The HTTP side of a service: every route, in the order in which they are shown, and for each place where they are mounted a
 * Koa middleware that answers their paths and leaves the others to the next one.
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
import { anybody, type Caller, checkPermission, createAuthenticate } from './permissions.ts'
import { sendProblem } from './problem.ts'
import { originalUrlOf, pathBehind } from './request-head.ts'
import { createResponder } from './responder.ts'
import type { Handle, HttpDeps, Mount, MountOptions, Route, ServiceParts } from './route.ts'
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

export interface Http {
  /** The routes at a place of their own: in a server, or in another app. */
  mount(options: MountOptions): Mount
  /** The routes for this process itself. @param prefix of the addresses that it is given */
  connect(prefix: string): AskInProcess
  /** A run was accepted, or has changed: streams of the list say so. */
  noteChange(): void
  openStreams(): number
  /** Answers all long polls, and those that come later at once. */
  dismissPolls(): void
  /** Sends each stream the newest state of its run, and ends it. */
  closeStreams(): Promise<void>
  /** Ends what is left, when no request is under way. */
  stop(): void
}

export interface HttpOptions extends ServiceParts {
  readonly feed: Feed
  readonly progressOf: ProgressOf
  readonly whyWaiting: WhyWaiting
}

export function createHttp({ feed, progressOf, whyWaiting, ...options }: HttpOptions): Http {
  const { config, store, log } = options
  const { committedAt } = options.intake
  const view = { showsStacks: config.logLevel === 'debug', progressOf, whyWaiting, committedAt }
  const runWatch = createRunWatch(feed, store)
  const polls = createLongPolls(runWatch)
  const streamQuota = createStreamQuota(config.maxStreams)
  const streams = createRunStreams({ runWatch, quota: streamQuota, view, log })
  const changeStreams = createChangeStreams(streamQuota)
  const largeBodies = createLargeBodyParser()
  const bodyBudget = createByteBudget(config.maxInFlightBytes)
  const answerBudget = createByteBudget(config.maxInFlightBytes)

  function mount(place: MountOptions): Mount {
    const ownView = { ...view, prefix: place.prefix }
    const maxBytes = place.isOwn === true ? Infinity : config.maxBodyBytes
    const readBody = createBodyReader({ maxBytes, largeBodies, budget: bodyBudget })
    const responder = createResponder({ view: ownView, store, budget: answerBudget, log })
    return createMount({ ...options, view: ownView, readBody, responder, polls, streams, changeStreams }, place)
  }

  return {
    mount,
    connect: (prefix) => createInProcess(mount({ prefix, isHosted: false, isOwn: true }).middleware, log),
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

/** Without a prefix, the app around has these itself. */
const pathsOfTheHost: ReadonlySet<string> = new Set(['/', '/metrics', '/livez', '/readyz'])

const ownCaller: Caller = { kind: 'write', scope: '' }

export function createMount(deps: Omit<HttpDeps, keyof MountOptions | 'routes'>, place: MountOptions): Mount {
  const { config, log } = deps
  const { prefix, isHosted, isOwn = false } = place
  const left = isHosted && prefix === '' ? pathsOfTheHost : new Set<string>()
  const mounted = routeTable.filter(({ path }) => !left.has(path))
  const isWorker = config.role === 'worker'
  const servesPage = !isWorker && !left.has('/')
  const authenticate = createAuthenticate(config)
  const find = createFindRoute(mounted, {
    ...deps,
    ...place,
    // A process that only runs jobs leaves the runs to others; its own calls are answered all the same.
    routes: isWorker ? mounted.filter(({ area }) => area === 'service') : mounted,
  })

  async function respond(ctx: Context, { methods, isOpen, isOfRuns, route }: Match): Promise<void> {
    ctx.set('X-Content-Type-Options', 'nosniff')
    if (isWorker && isOfRuns && !isOwn) throw notHere(ctx)
    const { kind, scope } = isOwn ? ownCaller : isOpen ? anybody : authenticate(ctx)
    if (ctx.method === 'OPTIONS') {
      ctx.status = 204
      ctx.set('Allow', allowOf(methods))
      return
    }
    if (route === undefined) throw notAllowed(ctx, methods)
    checkPermission(ctx, kind)
    await route.handle(ctx, route.params, scope)
  }

  return {
    async middleware(ctx, next) {
      const given = pathOf(ctx)
      const path = given === undefined ? undefined : pathBehind(prefix, given, originalUrlOf(ctx.req, ctx.originalUrl))
      if (given === undefined || path === undefined) return next()
      if (servesPage && sendAsset(ctx, path)) return
      const match = find(path, ctx.method)
      if (match === undefined) return next()
      try {
        // As the routes have it, and as long as they need it.
        if (path !== given) ctx.path = path
        await respond(ctx, match)
      } catch (error) {
        sendProblem(ctx, error, log, prefix)
      } finally {
        if (path !== given) ctx.path = given
      }
    },
    owns(target, incoming) {
      const path = pathBehind(prefix, target.replace(/\?.*$/s, ''), originalUrlOf(incoming))
      if (path === undefined) return false
      return (servesPage && isAsset(path)) || find(path, incoming.method ?? 'GET') !== undefined
    },
  }
}

/** A path of ours; all routes of one path are open, or of runs, alike. */
interface Match {
  readonly methods: ReadonlySet<string>
  readonly isOpen: boolean
  readonly isOfRuns: boolean
  /** Of the path and the method; undefined where the path has not this method. */
  readonly route: { readonly handle: Handle; readonly params: PathParameters } | undefined
}

/** Undefined for a path that no route has. */
type FindRoute = (path: string, method: string) => Match | undefined

/**
 * The router only matches: `Match` has the handler. To dispatch, it would match again, and it would note its matches where
 * a router of the app around has noted its own.
 */
const neverCalled = (): void => {}

/** Makes the handlers of these routes, for one place where they are mounted. */
function createFindRoute(routes: readonly Route[], deps: HttpDeps): FindRoute {
  const router = new Router()
  const byName = new Map(routes.map((route) => [route.operationId, { route, handle: route.create(deps) }]))
  for (const { method, path, operationId } of routes) {
    const verb = method.toLowerCase() as Lowercase<typeof method>
    router[verb](operationId, path.replaceAll(/\{(\w+)\}/g, ':$1'), neverCalled)
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

/** Undefined for a target that is no URL: the app around has to answer it. */
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

function notHere({ path }: Context): AppError {
  return new AppError('not-found', `there is nothing at ${path} in a process that only runs jobs (ROLE=worker)`)
}

function notAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = allowOf(methods)
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
