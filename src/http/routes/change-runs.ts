/** Requests that change runs: one run, one of its jobs or deliveries, or all runs that a filter matches. */
import type { Context } from 'koa'
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import { deliveryVersion } from '../../domain/webhook.ts'
import type { RunFilter } from '../../store/store.ts'
import { runExample } from '../openapi/examples.ts'
import { type Responder, sendSmall } from '../responder.ts'
import { jsonResponse, type Route, type RouteDependencies } from '../route.ts'
import {
  findRun,
  jobIndexOf,
  noSuchJob,
  noSuchRun,
  parseQuery,
  runFilterOf,
  runFilterParameters,
  runIdOf,
} from '../validation.ts'
import { bulkChangeSchema, type BulkChangeView, runViewSchema } from '../views/run.ts'

const currentRun = { json: { Run: runViewSchema }, example: runExample, headers: ['Cache-Control'] } as const

async function sendChanged(ctx: Context, responder: Responder, run: RunRecord, status: 200 | 202): Promise<void> {
  ctx.set('Cache-Control', 'no-store')
  ctx.status = status
  await responder.sendRun(ctx, run)
}

function cancelRoute(route: Pick<Route, 'path' | 'operationId' | 'summary' | 'problems'>): Route {
  return {
    ...route,
    method: 'POST',
    area: 'runs',
    responses: [
      { status: 202, description: 'The cancel takes effect; the run as it is now.', ...currentRun },
      { status: 200, description: 'It was cancelled before; the run as it is now.', ...currentRun },
    ],

    create({ store, clock, responder }) {
      return async (ctx, params) => {
        const id = runIdOf(params)
        // null: the whole run; undefined: no job can have this index.
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
    },
  }
}

export const cancelRun = cancelRoute({
  path: '/runs/{id}/cancel',
  operationId: 'cancelRun',
  summary: 'cancels every job of a run that has not ended',
  problems: ['run-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
})

export const cancelJob = cancelRoute({
  path: '/runs/{id}/jobs/{index}/cancel',
  operationId: 'cancelJob',
  summary: 'cancels one job',
  problems: ['run-not-found', 'job-not-found', 'not-cancellable', 'overloaded', 'store-unavailable'],
})

const reasonsNotToRetry = {
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
  responses: [{ status: 202, description: 'The job is queued; the run as it is now.', ...currentRun }],
  problems: ['run-not-found', 'job-not-found', 'not-retryable', 'overloaded', 'shutting-down', 'store-unavailable'],

  create({ intake, store, responder }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const index = jobIndexOf(params)
      const result = index === undefined ? 'not-found' : await intake.retry(id, index)
      const run = await findRun(store, id)
      if (result === 'not-found') throw noSuchJob(run, params)
      if (result !== 'queued') {
        const detail = `job ${index} ${reasonsNotToRetry[result]}`
        throw new AppError('not-retryable', detail, { members: { runId: id } })
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
  summary: 'sends a webhook again, with all its tries if they were used up',
  area: 'runs',
  responses: [
    { status: 202, description: 'It is sent as soon as there is room for it; the run as it is now.', ...currentRun },
  ],
  problems: ['run-not-found', 'delivery-not-found', 'overloaded', 'store-unavailable'],

  create({ store, clock, responder, noteDeliveryDue }) {
    return async (ctx, params) => {
      const id = runIdOf(params)
      const { deliveryId = '' } = params
      const version = deliveryVersion(id, deliveryId)
      const isDue = version !== null && (await store.retryDelivery(id, version, clock.now()))
      const run = await findRun(store, id)
      if (!isDue) {
        throw new AppError('delivery-not-found', `the run has no delivery ${deliveryId}`, { members: { runId: id } })
      }
      noteDeliveryDue()
      await sendChanged(ctx, responder, run, 202)
    }
  },
}

// A bulk change reads the runs that it matches in batches, from the newest to the oldest of those that existed at the start.
// Other requests get their turn between two batches.

/** A commit of this size is short if the runs have few jobs. */
const runsPerBatch = 100
const jobsPerBatch = 100

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

/** Changes one batch. @param onChanged called once for each run that was changed, also if the batch fails later */
type BatchChange = (dependencies: RouteDependencies, runs: readonly RunRecord[], onChanged: () => void) => Promise<void>

const cancelBatch: BatchChange = async ({ store, clock }, runs, onChanged) => {
  const running = runs.filter(({ state }) => state === 'running')
  const results = await Promise.all(running.map(({ id }) => store.cancel(id, null, clock.now())))
  for (const result of results) if (result === 'cancelled') onChanged()
}

const retryBatch: BatchChange = async ({ intake }, runs, onChanged) => {
  const ended = runs.flatMap(({ id, jobs }) =>
    jobs.flatMap(({ index, state }) => (state === 'failed' || state === 'cancelled' ? [{ id, index }] : [])),
  )
  const changed = new Set<string>()
  for (let at = 0; at < ended.length; at += jobsPerBatch) {
    const retries = ended.slice(at, at + jobsPerBatch).map(async ({ id, index }) => {
      const result = await intake.retry(id, index)
      if (result !== 'queued' || changed.has(id)) return
      changed.add(id)
      onChanged()
    })
    const refused = (await Promise.allSettled(retries)).find((retry) => retry.status === 'rejected')
    if (refused !== undefined) throw refused.reason
  }
}

/**
 * @param change null: only count
 * @throws AppError if the change is incomplete; the message says how many runs were changed
 */
async function changeAll(
  ctx: Context,
  dependencies: RouteDependencies,
  change: BatchChange | null,
  filterOfAll: RunFilter,
): Promise<BulkChangeView> {
  const { intake, responder } = dependencies
  let filter = filterOfAll
  let matched = 0
  let changed = 0
  try {
    for (;;) {
      if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is leaving')
      const { runs, hasMore, lastId } = await responder.readPage(filter)
      matched += runs.length
      await change?.(dependencies, runs, () => (changed += 1))
      const beforeId = lastId ?? runs.at(-1)?.id
      const hasCallerLeft = ctx.res.destroyed
      if (!hasMore || beforeId === undefined || hasCallerLeft) return { matched, changed }
      filter = { ...filter, beforeId }
    }
  } catch (error) {
    if (!(error instanceof AppError) || changed === 0) throw error
    throw new AppError(error.code, `${changed} runs were changed before this: ${error.message}`, { cause: error })
  }
}

function bulkRoute(change: BatchChange, counts: string, route: Pick<Route, 'path' | 'operationId' | 'summary'>): Route {
  return {
    ...route,
    method: 'POST',
    description:
      'At least one filter is required. The runs are changed in batches, from the newest to the oldest, and the response comes when all are done. If the caller disconnects, the change stops.',
    area: 'runs',
    query: changeQuery,
    responses: [jsonResponse(counts, { BulkChange: bulkChangeSchema }, { matched: 12, changed: 9 })],
    problems: ['invalid-filter', 'overloaded', 'shutting-down', 'store-unavailable'],

    create(dependencies) {
      return async (ctx) => {
        const { dryRun, ...query } = parseQuery(changeQuerySchema, ctx.query)
        // Without a filter, all runs would match.
        if (Object.keys(query).length === 0) {
          const names = Object.keys(runFilterParameters).join(', ')
          throw new AppError('invalid-filter', `at least one of ${names} is needed`)
        }
        const filter = { ...runFilterOf(query, dependencies.store), pageSize: runsPerBatch }
        const result = await changeAll(ctx, dependencies, dryRun ? null : change, filter)
        ctx.set('Cache-Control', 'no-store')
        sendSmall(ctx, result)
      }
    },
  }
}

export const cancelRuns = bulkRoute(
  cancelBatch,
  'How many runs match, and how many of them were running and are cancelled.',
  { path: '/runs/cancel', operationId: 'cancelRuns', summary: 'cancels every run that the filter matches' },
)

export const retryRuns = bulkRoute(retryBatch, 'How many runs match, and how many of them have jobs queued again.', {
  path: '/runs/retry',
  operationId: 'retryRuns',
  summary: 'queues the failed and cancelled jobs of every run that the filter matches again',
})
