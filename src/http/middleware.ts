/** All routes as one Koa middleware, which leaves paths that are not its own to whatever comes after it. */
import { Router } from '@koa/router'
import type { Context, Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import { createBodyReader } from './body.ts'
import type { HttpDeps } from './deps.ts'
import { answerProblem } from './problem.ts'
import { createCancelRoute } from './routes/cancel.ts'
import { createEventsRoute } from './routes/events.ts'
import { createOpenapiRoute } from './routes/openapi.ts'
import { root } from './routes/root.ts'
import { createRemoveRoute } from './routes/remove.ts'
import { createRetryRoute } from './routes/retry.ts'
import { createRunTasks } from './routes/run-tasks.ts'
import { createRunRoutes } from './routes/runs.ts'
import { createServiceRoutes } from './routes/service.ts'

export function createMiddleware(deps: HttpDeps): Middleware {
  const runs = createRunRoutes(deps)
  const service = createServiceRoutes(deps)
  const cancel = createCancelRoute(deps)
  const router = new Router()
    .post('/run-tasks', createBodyReader(deps.config.maxBodyBytes), createRunTasks(deps))
    .get('/runs', runs.listRuns)
    .get('/runs/:id', runs.getRun)
    .get('/runs/:id/jobs/:index', runs.getJob)
    .get('/runs/:id/events', createEventsRoute(deps))
    .post('/runs/:id/cancel', cancel)
    .post('/runs/:id/jobs/:index/cancel', cancel)
    .post('/runs/:id/jobs/:index/retry', createRetryRoute(deps))
    .delete('/runs/:id', createRemoveRoute(deps))
    .get('/tasks', service.tasks)
    .get('/stats', service.stats)
    .get('/metrics', service.prometheus)
    .get('/livez', service.livez)
    .get('/readyz', service.readyz)
    .get('/openapi.json', createOpenapiRoute())
    .get('/problems/:slug', service.problem)
    .get('/', root)
  const routes = router.routes()

  return async (ctx, next) => {
    const { path, route } = router.match(ctx.path, ctx.method)
    if (path.length === 0) return next()
    try {
      const methods = new Set(path.flatMap((layer) => layer.methods))
      if (ctx.method === 'OPTIONS') answerOptions(ctx, methods)
      else if (!route) throw notAllowed(ctx, methods)
      else if (ctx.method === 'POST' && ctx.get('Sec-Fetch-Site') === 'cross-site') throw crossSite()
      else await Reflect.apply(routes, undefined, [ctx, async () => {}])
    } catch (error) {
      answerProblem(ctx, error, deps.log)
    }
  }
}

function answerOptions(ctx: Context, methods: ReadonlySet<string>): void {
  ctx.status = 204
  ctx.set('Allow', [...methods, 'OPTIONS'].join(', '))
}

function crossSite(): AppError {
  return new AppError('cross-site', 'a web page of another site must not start or end work here')
}

function notAllowed(ctx: Context, methods: ReadonlySet<string>): AppError {
  const allowed = [...methods, 'OPTIONS'].join(', ')
  ctx.set('Allow', allowed)
  return new AppError('method-not-allowed', `${ctx.path} does not support ${ctx.method}; it supports ${allowed}`)
}
