/** What the service tells about itself: its tasks, its numbers, its health, its problems. */
import type { RouterMiddleware } from '@koa/router'
import { AppError, problemCodes, problems, type ProblemCode } from '../../domain/errors.ts'
import { inputJsonSchema } from '../../tasks/input.ts'
import type { HttpDeps } from '../deps.ts'
import { sendJson } from '../send-json.ts'
import type { HealthView, ProblemPageView, StatsView, TaskListView } from '../schemas/service.ts'

const healthy: HealthView = { status: 'ok' }
export function createServiceRoutes(deps: HttpDeps) {
  const { registry, store, intake, pool, trouble, loopDelay, metrics, clock, prefix } = deps

  const tasks: RouterMiddleware = (ctx) => {
    const view: TaskListView = {
      tasks: registry.all().map((task) => ({ name: task.name, ...task.policy, input: inputJsonSchema(task) })),
    }
    sendJson(ctx, view)
  }

  const stats: RouterMiddleware = async (ctx) => {
    const { runs, jobs, oldestQueuedMs, unknownTasks, conservation } = await store.stats(clock.now())
    ctx.set('Cache-Control', 'no-store')
    const view: StatsView = {
      runs,
      jobs,
      backlog: store.backlog(),
      oldestQueuedMs,
      unknownTasks,
      lostClaims: metrics.lostClaims(),
      threads: pool.threads(),
      eventLoopDelayMs: loopDelay.read(),
      conservation,
    }
    sendJson(ctx, view)
  }

  const prometheus: RouterMiddleware = async (ctx) => {
    ctx.body = await metrics.text()
    ctx.set({ 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' })
  }

  const livez: RouterMiddleware = (ctx) => {
    sendJson(ctx, healthy)
  }

  const readyz: RouterMiddleware = async (ctx) => {
    if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is not taking new runs')
    const reason = trouble()
    if (reason !== null) throw new AppError('overloaded', reason)
    await Promise.all([store.stats(clock.now()), store.checkWritable()])
    sendJson(ctx, healthy)
  }

  const problem: RouterMiddleware = (ctx) => {
    const code = problemCodes.find((known) => known === ctx.params['slug'])
    if (code === undefined) throw new AppError('not-found', `there is no problem ${String(ctx.params['slug'])}`)
    sendJson(ctx, describeProblem(code, prefix))
  }

  return { tasks, stats, prometheus, livez, readyz, problem }
}

function describeProblem(code: ProblemCode, prefix: string): ProblemPageView {
  const { status, title, isRetryable, meaning, remedy } = problems[code]
  return { type: `${prefix}/problems/${code}`, title, status, isRetryable, meaning, remedy }
}
