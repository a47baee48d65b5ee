/** POST /runs/{id}/deliveries/{deliveryId}/retry: sends a webhook again that was given up, or was sent before. */
import { AppError } from '../../domain/errors.ts'
import { deliveryVersion } from '../../domain/delivery.ts'
import { findRun, runIdOf } from '../requested-runs.ts'
import { runExample } from '../openapi/examples.ts'
import type { Route } from '../route.ts'
import { runViewSchema } from '../views/run.ts'

export const retryDelivery: Route = {
  method: 'POST',
  path: '/runs/{id}/deliveries/{deliveryId}/retry',
  operationId: 'retryDelivery',
  summary: 'sends a webhook again, with all its tries where it was over',
  area: 'runs',
  responses: [
    {
      status: 202,
      description: 'It is sent as soon as there is room for it; the run as it is now.',
      json: { Run: runViewSchema },
      example: runExample,
      headers: ['Cache-Control'],
    },
  ],
  problems: ['run-not-found', 'delivery-not-found', 'overloaded', 'store-unavailable'],

  create({ store, clock, answers, onDeliveryDue }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const { deliveryId = '' } = params
      const version = deliveryVersion(id, deliveryId)
      const isDue = version !== null && (await store.retryDelivery(id, version, clock.now()))
      const run = await findRun(store, id)
      if (!isDue) {
        throw new AppError('delivery-not-found', `the run has no delivery ${deliveryId}`, { members: { runId: id } })
      }
      onDeliveryDue()
      ctx.set('Cache-Control', 'no-store')
      ctx.status = 202
      await answers.sendRun(ctx, run)
    }
  },
}
