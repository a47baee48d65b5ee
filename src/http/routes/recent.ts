/** GET /stats/recent: the last minutes of the process that answers. */
import type { Route } from '../route.ts'
import { instant } from '../views/job.ts'
import { sendJson } from '../views/json.ts'
import { quantilesSchema, recentSchema, type RecentView } from '../views/recent.ts'

const [quick, waited] = [
  { count: 41, p50: 2.1, p99: 9.4 },
  { count: 42, p50: 0.4, p99: 31 },
]
const startedAt = '2026-11-28T12:00:00.005Z'
const example: RecentView = {
  windowMs: 300_000,
  firstResponseMs: quick,
  queueWaitMs: waited,
  running: [
    {
      thread: 'worker-1',
      runId: '01a2071d-0a4a-7200-89ea-c1db971bb6b7',
      jobIndex: 1,
      task: 'second',
      attempt: 1,
      startedAt,
    },
  ],
  tasks: [{ name: 'second', completed: 41, failed: 1, retried: 0, waitMs: waited, runMs: quick }],
  slotMs: 10_000,
  slots: [
    {
      at: '2026-11-28T12:00:00.000Z',
      accepted: 3,
      final: 2,
      backlog: 1,
      firstResponseMs: quick,
      queueWaitMs: waited,
      eventLoopDelayMs: 1.2,
      cpuShare: 0.04,
    },
  ],
}

export const recent: Route = {
  method: 'GET',
  path: '/stats/recent',
  operationId: 'recent',
  summary: 'shows the last minutes of the process',
  area: 'service',
  answers: [
    {
      status: 200,
      description: 'What it runs now, quantiles and tasks of five minutes, and a quarter of an hour in rows.',
      json: { Recent: recentSchema },
      example,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Quantiles: quantilesSchema },
  problems: [],

  create({ metrics }) {
    return (ctx) => {
      const { running, slots, ...figures } = metrics.recent()
      const view: RecentView = {
        ...figures,
        running: running.map((attempt) => ({ ...attempt, startedAt: instant(attempt.startedAt) })),
        slots: slots.map((slot) => ({ ...slot, at: instant(slot.at) })),
      }
      ctx.set('Cache-Control', 'no-store')
      sendJson(ctx, view)
    }
  },
}
