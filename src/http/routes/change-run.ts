/** Requests that change one run: cancel it or one of its jobs, retry a job or a delivery, forget the run. */
import type { Context } from 'koa'
import { deliveryVersion } from '../../domain/webhook.ts'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import { findRun, jobIndexOf, noSuchJob, noSuchRun, runIdOf } from '../request-parameters.ts'
import { runExample } from '../openapi/examples.ts'
import type { HttpDeps, Route, RouteResponse } from '../route.ts'
import { runViewSchema } from '../views/run.ts'

const wholeRun = { json: { Run: runViewSchema }, example: runExample, headers: ['Cache-Control'] } as const
const responsesOfCancel: readonly RouteResponse[] = [
  { status: 202, description: 'The cancel takes effect; the run as it is now.', ...wholeRun },
  { status: 200, description: 'It was cancelled before; the run as it is now.', ...wholeRun },
]

async function sendChanged(ctx: Context, responder: HttpDeps['responder'], run: RunRecord, status: 200 | 202) {
  ctx.set('Cache-Control', 'no-store')
  ctx.status = status
  await responder.sendRun(ctx, run)
}

const createCancel: Route['create'] = ({ store, clock, responder }) => {
  return async (ctx, params) => {
    const id = runIdOf(params)
    const index = params.index === undefined ? null : jobIndexOf(params)
    const result = index === undefined ? 'not-found' : await store.cancel(id, index, clock.now())
    const run = await findRun(store, id)
    if (result === 'not-found') throw noSuchJob(run, params)
    if (result === 'was-final') {
      const what = index === null ? 'the run' : `job ${index}`
      throw new AppError('not-cancellable', `${what} has ended before`, { members: { runId: id } })
    }
    await sendChanged(ctx, responder, run, result === 'cancelled' ? 202 : 200)
  }
}

export const cancelRun: Route = {
  method: 'POST',
  path: '/runs/{id}/cancel',
  operationId: 'cancelRun',
  summary: 'cancels every job of a run that has not ended',
  area: 'runs',
  responses: responsesOfCancel,
  problems: ['run-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  create: createCancel,
}

export const cancelJob: Route = {
  method: 'POST',
  path: '/runs/{id}/jobs/{index}/cancel',
  operationId: 'cancelJob',
  summary: 'cancels one job',
  area: 'runs',
  responses: responsesOfCancel,
  problems: ['run-not-found', 'job-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
  create: createCancel,
}

const whyNot = {
  'was-completed': 'has completed',
  'not-final': 'has not ended',
  'was-refused': 'stands for a request that is not valid: send a new one',
  'cannot-start': 'waits for a job that has ended without a result: retry that one',
} as const

export const retryJob: Route = {
  method: 'POST',
  path: '/runs/{id}/jobs/{index}/retry',
  operationId: 'retryJob',
  summary: 'queues a failed or cancelled job again, with fresh attempts',
  area: 'runs',
  responses: [{ status: 202, description: 'The job is queued; the run as it is now.', ...wholeRun }],
  problems: ['run-not-found', 'job-not-found', 'not-retryable', 'overloaded', 'shutting-down', 'store-unavailable'],

  create({ intake, store, responder }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const result = index === undefined ? 'not-found' : await intake.retry(id, index)
      const run = await findRun(store, id)
      if (result === 'not-found') throw noSuchJob(run, params)
      if (result !== 'queued') {
        const why = whyNot[result]
        throw new AppError('not-retryable', `job ${index} ${why}`, { members: { runId: id } })
      }
      await sendChanged(ctx, responder, run, 202)
    }
  },
}

export const removeRun: Route = {
  method: 'DELETE',
  path: '/runs/{id}',
  operationId: 'removeRun',
  summary: 'forgets a run that has ended, and its idempotency key',
  area: 'runs',
  responses: [{ status: 204, description: 'It is gone.' }],
  problems: ['run-not-found', 'run-active', 'store-unavailable'],

  create({ intake }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const result = await intake.remove(id)
      if (result === 'not-found') throw noSuchRun(id)
      if (result === 'active') {
        const detail = 'the run has jobs that have not ended, or a caller that is being answered'
        throw new AppError('run-active', detail, { members: { runId: id } })
      }
      ctx.status = 204
    }
  },
}

export const retryDelivery: Route = {
  method: 'POST',
  path: '/runs/{id}/deliveries/{deliveryId}/retry',
  operationId: 'retryDelivery',
  summary: 'sends a webhook again, with all its tries where it was over',
  area: 'runs',
  responses: [
    { status: 202, description: 'It is sent as soon as there is room for it; the run as it is now.', ...wholeRun },
  ],
  problems: ['run-not-found', 'delivery-not-found', 'overloaded', 'store-unavailable'],

  create({ store, clock, responder, onDeliveryDue }) {
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
      await sendChanged(ctx, responder, run, 202)
    }
  },
}
