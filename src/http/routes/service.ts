/** What the service tells about itself: its tasks, its state, its problems, its routes. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { RouterMiddleware } from '@koa/router'
import { AppError, problemCodes, problems, type ProblemCode } from '../../domain/errors.ts'
import { inputJsonSchema } from '../../tasks/input.ts'
import type { HttpDeps } from '../deps.ts'
import type { HealthView, ProblemPageView, StatsView, TaskListView } from '../schemas/service.ts'

const nsPerMs = 1_000_000
const healthy: HealthView = { status: 'ok' }
/** The event loop's delay is told of the minute under way. */
const delayWindowMs = 60_000
const samplePeriodMs = 10

export function createServiceRoutes({ registry, store, intake, pool, clock }: HttpDeps) {
  const delay = monitorEventLoopDelay({ resolution: samplePeriodMs })
  delay.enable()
  const window = setInterval(() => delay.reset(), delayWindowMs).unref()

  const tasks: RouterMiddleware = (ctx) => {
    const view: TaskListView = {
      tasks: registry.all().map((task) => ({ name: task.name, ...task.policy, input: inputJsonSchema(task) })),
    }
    ctx.body = view
  }

  const stats: RouterMiddleware = async (ctx) => {
    const { runs, jobs, oldestQueuedMs, conservation } = await store.stats(clock.now())
    // The histogram holds the time between two samples. With two decimals.
    const ms = (ns: number): number => Math.max(0, Math.round((ns / nsPerMs - samplePeriodMs) * 100) / 100)
    const eventLoopDelayMs = { p50: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) }
    ctx.set('Cache-Control', 'no-store')
    const view: StatsView = {
      runs,
      jobs,
      backlog: store.backlog(),
      oldestQueuedMs,
      threads: pool.threads(),
      eventLoopDelayMs,
      conservation,
    }
    ctx.body = view
  }

  const livez: RouterMiddleware = (ctx) => {
    ctx.body = healthy
  }

  const readyz: RouterMiddleware = async (ctx) => {
    if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is not taking new runs')
    const illness = pool.illness()
    if (illness !== null) throw new AppError('overloaded', illness)
    await store.stats(clock.now())
    ctx.body = healthy
  }

  const problem: RouterMiddleware = (ctx) => {
    const code = problemCodes.find((known) => known === ctx.params['slug'])
    if (code === undefined) throw new AppError('not-found', `there is no problem ${String(ctx.params['slug'])}`)
    ctx.body = describeProblem(code)
  }

  function stop(): void {
    clearInterval(window)
    delay.disable()
  }

  return { tasks, stats, livez, readyz, problem, stop }
}

function describeProblem(code: ProblemCode): ProblemPageView {
  const { status, title, isRetryable, meaning, remedy } = problems[code]
  return { type: `/problems/${code}`, title, status, isRetryable, meaning, remedy }
}
