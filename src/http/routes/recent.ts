/** GET /stats/recent: the last minutes of the process that answers. */
import type { RouterMiddleware } from '@koa/router'
import type { HttpDeps } from '../deps.ts'
import type { RecentView } from '../schemas/recent.ts'
import { sendJson } from '../send-json.ts'

const isoOf = (instant: number): string => new Date(instant).toISOString()

export function createRecentRoute({ metrics }: Pick<HttpDeps, 'metrics'>): RouterMiddleware {
  return (ctx) => {
    const { running, slots, ...figures } = metrics.recent()
    const view: RecentView = {
      ...figures,
      running: running.map((attempt) => ({ ...attempt, startedAt: isoOf(attempt.startedAt) })),
      slots: slots.map((slot) => ({ ...slot, at: isoOf(slot.at) })),
    }
    ctx.set('Cache-Control', 'no-store')
    sendJson(ctx, view)
  }
}
