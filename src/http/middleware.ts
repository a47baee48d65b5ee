/** All routes as one Koa middleware, which leaves paths that are not its own to whatever comes after it. */
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { anybody, createAuthenticate, type Caller } from './authenticate.ts'
import { answerProblem } from './handle-error.ts'
import { createRouter } from './lazy-http.ts'
import { originalUrlOf, pathBehind, pathsOfTheHost, type MountOptions } from './mount.ts'
import { isAsset, sendAsset } from './page.ts'
import { routeTable } from './route-table.ts'
import type { PathParameters } from './requested-runs.ts'
import { noteReader } from './secrets.ts'
import type { Handle, HttpDeps, Route } from './route.ts'

export interface Mount {
  /** Leaves what is none of its paths to whatever comes after it. */
  readonly middleware: Middleware
  /** @param target path and query */
  owns(target: string, incoming: IncomingMessage): boolean
}

const ownCaller: Caller = { kind: 'write', scope: '' }

/** A path of ours; all routes of one path are open, or of runs, alike. */
interface Match {
  readonly methods: ReadonlySet<string>
  readonly isOpen: boolean
  readonly isOfRuns: boolean
  /** Of the path and the method; undefined where the path has not this method. */
  readonly route: { readonly handle: Handle; readonly params: PathParameters } | undefined
}

export function createMount(deps: Omit<HttpDeps, keyof MountOptions | 'routes'>, place: MountOptions): Mount {
  const { config, log } = deps
  const { prefix, isHosted, isOwn = false } = place
  const left = isHosted && prefix === '' ? pathsOfTheHost : new Set<string>()
  const mounted = routeTable.filter(({ path }) => !left.has(path))
  const isWorker = config.role === 'worker'
  const servesPage = !isWorker && !left.has('/')
  const authenticate = createAuthenticate(config)
  const find = createFind(mounted, {
    ...deps,
    ...place,
    // A process that only runs jobs leaves the runs to others; its own calls are answered all the same.
    routes: isWorker ? mounted.filter(({ area }) => area === 'service') : mounted,
  })

  async function answer(ctx: Context, { methods, isOpen, isOfRuns, route }: Match): Promise<void> {
    ctx.set('X-Content-Type-Options', 'nosniff')
    if (isWorker && isOfRuns && !isOwn) throw notHere(ctx)
    const { kind, scope } = isOwn ? ownCaller : isOpen ? anybody : authenticate(ctx)
    const isReading = ctx.method === 'GET' || ctx.method === 'HEAD'
    if (ctx.method === 'OPTIONS') {
      ctx.status = 204
      ctx.set('Allow', allowOf(methods))
      return
    }
    if (route === undefined) throw notAllowed(ctx, methods)
    if (kind === 'read') {
      if (!isReading) throw readOnlyKey()
      noteReader(ctx)
    }
    // Of what only reads, the browser keeps the answer from the other site.
    if (kind === 'none' && !isReading && ctx.get('Sec-Fetch-Site') === 'cross-site') throw crossSite()
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
        await answer(ctx, match)
      } catch (error) {
        answerProblem(ctx, error, log, prefix)
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

/** @returns a function that finds where a path and a method lead; undefined for a path of nobody's */
function createFind(routes: readonly Route[], deps: HttpDeps): (path: string, method: string) => Match | undefined {
  const router = createRouter()
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

/** Undefined for a target that is no URL: in an app of somebody else's, it is that app's to answer. */
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

function readOnlyKey(): AppError {
  return new AppError('read-only-key', 'this key may read, and not start, change or delete anything')
}

function crossSite(): AppError {
  return new AppError('cross-site', 'a web page of another site must not start or end work here')
}

function notAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = allowOf(methods)
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
