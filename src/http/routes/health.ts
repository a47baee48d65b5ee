/** GET /livez and /readyz: whether the process lives, and whether it should be sent requests. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import type { Route, RouteResponse } from '../route.ts'
import { sendJson } from '../views/json.ts'

const healthSchema = z.object({ status: z.literal('ok') }).readonly()
const healthy: z.output<typeof healthSchema> = { status: 'ok' }
const responses: readonly RouteResponse[] = [
  { status: 200, description: 'It does.', json: { Health: healthSchema }, example: healthy },
]

export const livez: Route = {
  method: 'GET',
  path: '/livez',
  operationId: 'livez',
  summary: 'says whether the process lives',
  area: 'service',
  isOpen: true,
  responses,
  problems: [],
  create: () => (ctx) => sendJson(ctx, healthy),
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
      sendJson(ctx, healthy)
    }
  },
}
