/** GET /stats: counts of runs, jobs and threads. */
import type { Route } from '../route.ts'
import { sendJson } from '../views/json.ts'
import { statsSchema, threadSchema, type StatsView } from '../views/service.ts'

const example: StatsView = {
  runs: { running: 1, completed: 41, failed: 0, cancelled: 0 },
  jobs: { queued: 0, running: 1, retrying: 0, completed: 83, failed: 0, cancelled: 0 },
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
  answers: [
    {
      status: 200,
      description: 'The counts of this moment.',
      json: { Stats: statsSchema },
      example,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Thread: threadSchema },
  problems: ['store-unavailable'],

  create({ store, pool, loopDelay, metrics, clock }) {
    return async (ctx) => {
      const { runs, jobs, oldestQueuedMs, unknownTasks, conservation } = await store.stats(clock.now())
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
      ctx.set('Cache-Control', 'no-store')
      sendJson(ctx, view)
    }
  },
}
