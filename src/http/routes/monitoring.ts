/** Routes for monitoring: /livez and /readyz, /stats, /stats/recent for the last minutes, and /metrics for Prometheus. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { runExample } from '../openapi/examples.ts'
import type { Route, RouteResponse } from '../route.ts'
import { sendSmall } from '../responder.ts'
import {
  quantilesSchema,
  recentSchema,
  type RecentView,
  statsSchema,
  type StatsView,
  threadSchema,
} from '../views/stats.ts'

const statsExample: StatsView = {
  environment: 'production',
  runs: { running: 1, completed: 41, failed: 0, cancelled: 0 },
  jobs: { queued: 0, running: 1, retrying: 0, completed: 83, failed: 0, cancelled: 0, blocked: 0 },
  backlog: 1,
  oldestQueuedMs: null,
  unknownTasks: {},
  lostClaims: 0,
  threads: [{ name: 'worker-1', kind: 'cpu', state: 'ready', running: 1, busyShare: 0.12 }],
  eventLoopDelayMs: { p50: 0.1, p99: 1.2, max: 4.7 },
  conservation: { accepted: 84, final: 83, live: 1, lost: 0 },
}

export const stats: Route = {
  method: 'GET',
  path: '/stats',
  operationId: 'stats',
  summary: 'counts runs, jobs and threads',
  area: 'service',
  responses: [
    {
      status: 200,
      description: 'The current counts.',
      json: { Stats: statsSchema },
      example: statsExample,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Thread: threadSchema },
  problems: ['store-unavailable'],

  create({ config, store, pool, loopDelay, metrics, clock }) {
    const environment = config.environment || null
    return async (ctx) => {
      const { runs, jobs, oldestQueuedMs, unknownTasks, conservation } = await store.stats(clock.now())
      const view: StatsView = {
        environment,
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
      ctx.set('Cache-Control', 'no-store')
      sendSmall(ctx, view)
    }
  },
}

const quick = { count: 41, p50: 2.1, p99: 9.4 }
const waited = { count: 42, p50: 0.4, p99: 31 }
const { id: runId } = runExample
const recentExample: RecentView = {
  windowMs: 300_000,
  firstResponseMs: quick,
  queueWaitMs: waited,
  running: [{ thread: 'worker-1', runId, jobIndex: 1, task: 'second', attempt: 1, startedAt: runExample.createdAt }],
  tasks: [{ name: 'second', completed: 41, failed: 1, retried: 0, waitMs: waited, runMs: quick }],
  slotMs: 10_000,
  slots: [
    {
      at: runExample.createdAt,
      accepted: 3,
      final: 2,
      backlog: 1,
      firstResponseMs: quick,
      queueWaitMs: waited,
      eventLoopDelayMs: 1.2,
      cpuShare: 0.04,
    },
  ],
  events: [{ at: runExample.createdAt, kind: 'started', count: 1 }],
}

export const recent: Route = {
  method: 'GET',
  path: '/stats/recent',
  operationId: 'recent',
  summary: 'shows the last minutes of the process',
  area: 'service',
  responses: [
    {
      status: 200,
      description:
        'Current attempts, quantiles and tasks of five minutes, and a row for each ten seconds of a quarter of an hour.',
      json: { Recent: recentSchema },
      example: recentExample,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Quantiles: quantilesSchema },
  problems: [],

  create({ metrics }) {
    return (ctx) => {
      ctx.set('Cache-Control', 'no-store')
      sendSmall(ctx, metrics.recent() satisfies RecentView)
    }
  },
}

export const prometheus: Route = {
  method: 'GET',
  path: '/metrics',
  operationId: 'metrics',
  summary: 'shows the same numbers and more to Prometheus',
  area: 'service',
  responses: [
    {
      status: 200,
      description: 'Metrics in the text format of Prometheus.',
      mediaType: 'text/plain',
      example: '# TYPE forerunner_backlog gauge\nforerunner_backlog 1\n',
      headers: ['Cache-Control'],
    },
  ],
  problems: ['store-unavailable'],

  create({ metrics }) {
    return async (ctx) => {
      ctx.body = await metrics.text()
      ctx.set({ 'Content-Type': metrics.contentType, 'Cache-Control': 'no-store' })
    }
  },
}

const healthSchema = z.object({ status: z.literal('ok') }).readonly()
const healthy: z.output<typeof healthSchema> = { status: 'ok' }
const responses: readonly RouteResponse[] = [
  { status: 200, description: 'Yes.', json: { Health: healthSchema }, example: healthy },
]

export const livez: Route = {
  method: 'GET',
  path: '/livez',
  operationId: 'livez',
  summary: 'says whether the process is alive',
  area: 'service',
  isOpen: true,
  responses,
  problems: [],
  create: () => (ctx) => sendSmall(ctx, healthy),
}

export const readyz: Route = {
  method: 'GET',
  path: '/readyz',
  operationId: 'readyz',
  summary: 'says whether it takes new runs',
  area: 'service',
  isOpen: true,
  responses,
  problems: ['overloaded', 'shutting-down', 'store-unavailable'],

  create({ store, intake, trouble, clock }) {
    return async (ctx) => {
      if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is not taking new runs')
      const reason = trouble()
      if (reason !== null) throw new AppError('overloaded', reason)
      await Promise.all([store.stats(clock.now()), store.checkWritable()])
      sendSmall(ctx, healthy)
    }
  },
}
