/** Requests that change runs: one run, one of its jobs or deliveries, or all runs that a filter matches. */
import type { Context } from 'koa'
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import { deliveryVersion } from '../../domain/webhook.ts'
import type { RunFilter } from '../../store/store.ts'
import { runExample } from '../openapi/examples.ts'
import {
  findRun,
  jobIndexOf,
  noSuchJob,
  noSuchRun,
  parseQuery,
  runFilterParameters,
  runFilterOf,
  runIdOf,
} from '../validation.ts'
import type { RouteDependencies, Route, RouteResponse } from '../route.ts'
import { sendJson } from '../responder.ts'
import { bulkChangeSchema, type BulkChangeView, runViewSchema } from '../views/run.ts'

const wholeRun = { json: { Run: runViewSchema }, example: runExample, headers: ['Cache-Control'] } as const
const responsesOfCancel: readonly RouteResponse[] = [
  { status: 202, description: 'The cancel takes effect; the run as it is now.', ...wholeRun },
  { status: 200, description: 'It was cancelled before; the run as it is now.', ...wholeRun },
]

async function sendChanged(ctx: Context, responder: RouteDependencies['responder'], run: RunRecord, status: 200 | 202) {
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

/** Runs that are read at once, and changed in one commit where they have few jobs. */
const runsPerBatch = 100
/** Jobs that are queued again at once. */
const jobsPerBatch = 100

// A change goes through the runs a batch at a time, from the newest to the oldest of those that were there at the beginning.
// Other requests get their turn between two batches.

const changeQuerySchema = z.strictObject({
  ...runFilterParameters,
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
})

const changeQuery: Record<keyof z.output<typeof changeQuerySchema>, z.ZodType> = {
  ...runFilterParameters,
  dryRun: z.boolean().default(false).describe('only counts'),
}

const changeExample: BulkChangeView = { matched: 12, changed: 9 }

type ChangeDeps = Pick<RouteDependencies, 'store' | 'intake' | 'clock'>
/** Calls `count` for each run that it has changed. */
type Change = (deps: ChangeDeps, runs: readonly RunRecord[], count: () => void) => Promise<void>

const cancelAll: Change = async ({ store, clock }, runs, count) => {
  const live = runs.filter(({ state }) => state === 'running')
  const results = await Promise.all(live.map(({ id }) => store.cancel(id, null, clock.now())))
  for (const result of results) if (result === 'cancelled') count()
}

const retryAll: Change = async ({ intake }, runs, count) => {
  const ended = runs.flatMap(({ id, jobs }) =>
    jobs.flatMap(({ index, state }) => (state === 'failed' || state === 'cancelled' ? [{ id, index }] : [])),
  )
  const counted = new Set<string>()
  for (let at = 0; at < ended.length; at += jobsPerBatch) {
    const batch = ended.slice(at, at + jobsPerBatch)
    const settled = await Promise.allSettled(batch.map(({ id, index }) => intake.retry(id, index)))
    for (const [index, { id }] of batch.entries()) {
      const result = settled[index]
      if (result?.status !== 'fulfilled' || result.value !== 'queued' || counted.has(id)) continue
      counted.add(id)
      count()
    }
    const refused = settled.find((result) => result.status === 'rejected')
    if (refused !== undefined) throw refused.reason
  }
}

function changeRoute(
  change: Change,
  description: string,
  route: Pick<Route, 'path' | 'operationId' | 'summary'>,
): Route {
  return {
    ...route,
    method: 'POST',
    description:
      'At least one filter is needed. It goes through the runs a batch at a time, from the newest to the oldest, and answers when it is done; a caller that goes away ends it.',
    area: 'runs',
    query: changeQuery,
    responses: [
      {
        status: 200,
        description,
        json: { BulkChange: bulkChangeSchema },
        example: changeExample,
        headers: ['Cache-Control'],
      },
    ],
    problems: ['invalid-filter', 'overloaded', 'shutting-down', 'store-unavailable'],

    create(deps) {
      const { store, intake, responder } = deps
      return async (ctx) => {
        const { dryRun, ...given } = parseQuery(changeQuerySchema, ctx.query)
        // Without a filter it would be all runs.
        if (Object.keys(given).length === 0) {
          throw new AppError(
            'invalid-filter',
            `at least one of ${Object.keys(runFilterParameters).join(', ')} is needed`,
          )
        }
        let filter: RunFilter = { ...runFilterOf(given, store), pageSize: runsPerBatch }
        let matched = 0
        let changed = 0
        try {
          for (;;) {
            if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is leaving')
            const { runs, hasMore, lastId = runs.at(-1)?.id } = await responder.readPage(filter)
            matched += runs.length
            if (!dryRun) await change(deps, runs, () => (changed += 1))
            // A caller that has gone away wants no more of it.
            if (!hasMore || lastId === undefined || ctx.res.destroyed) break
            filter = { ...filter, beforeId: lastId }
          }
        } catch (error) {
          if (!(error instanceof AppError) || changed === 0) throw error
          throw new AppError(error.code, `${changed} runs were changed before this: ${error.message}`, { cause: error })
        }
        const view: BulkChangeView = { matched, changed }
        ctx.set('Cache-Control', 'no-store')
        sendJson(ctx, view)
      }
    },
  }
}

export const cancelRuns = changeRoute(
  cancelAll,
  'How many runs match, and how many of them were running and are cancelled.',
  { path: '/runs/cancel', operationId: 'cancelRuns', summary: 'cancels every run that the filter matches' },
)

export const retryRuns = changeRoute(retryAll, 'How many runs match, and of how many of them jobs were queued again.', {
  path: '/runs/retry',
  operationId: 'retryRuns',
  summary: 'queues the failed and cancelled jobs again of every run that the filter matches',
})
