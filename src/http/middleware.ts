/** All routes as one Koa middleware, which leaves paths that are not its own to whatever comes after it. */
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { anybody, type Caller, checkPermission, createAuthenticate } from './permissions.ts'
import { answerProblem } from './problem.ts'
import { originalUrlOf, pathBehind } from './request-head.ts'
import { isAsset, sendAsset } from './page.ts'
import { createFindRoute, type Match, routeTable } from './route-table.ts'
import type { HttpDeps, MountOptions } from './route.ts'

export interface Mount {
  /** Leaves what is none of its paths to whatever comes after it. */
  readonly middleware: Middleware
  /** @param target path and query */
  owns(target: string, incoming: IncomingMessage): boolean
}

/** Without a prefix, an app of somebody else's has these itself. */
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

  async function answer(ctx: Context, { methods, isOpen, isOfRuns, route }: Match): Promise<void> {
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

function notAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = allowOf(methods)
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
