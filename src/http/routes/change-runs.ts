/**
 * POST /runs/cancel and /runs/retry: change every run that a filter matches, a batch at a time, from the newest to the
 * oldest of those that were there at the beginning. Other requests get their turn between two batches.
 */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import type { RunFilter } from '../../store/store.ts'
import type { HttpDeps, Route } from '../route.ts'
import { parseQuery, runFilter, runFilterOf } from '../requested-runs.ts'
import { sendJson } from '../views/json.ts'
import { bulkChangeSchema, type BulkChangeView } from '../views/run.ts'

/** Runs that are read at once, and changed in one commit where they have few jobs. */
const runsPerBatch = 100
/** Jobs that are queued again at once. */
const jobsPerBatch = 100

const querySchema = z.strictObject({
  ...runFilter,
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
})

const query: Record<keyof z.output<typeof querySchema>, z.ZodType> = {
  ...runFilter,
  dryRun: z.boolean().default(false).describe('only counts'),
}

const example: BulkChangeView = { matched: 12, changed: 9 }

/** Calls `count` for each run that it has changed. */
type Change = (runs: readonly RunRecord[], count: () => void) => Promise<void>
type CreateChange = (deps: Pick<HttpDeps, 'store' | 'intake' | 'clock'>) => Change

const createCancelAll: CreateChange =
  ({ store, clock }) =>
  async (runs, count) => {
    const live = runs.filter(({ state }) => state === 'running')
    const results = await Promise.all(live.map(({ id }) => store.cancel(id, null, clock.now())))
    for (const result of results) if (result === 'cancelled') count()
  }

const createRetryAll: CreateChange =
  ({ intake }) =>
  async (runs, count) => {
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
  createChange: CreateChange,
  description: string,
  route: Pick<Route, 'path' | 'operationId' | 'summary'>,
): Route {
  return {
    ...route,
    method: 'POST',
    description:
      'At least one filter is needed. It goes through the runs a batch at a time, from the newest to the oldest, and answers when it is done; a caller that goes away ends it.',
    area: 'runs',
    query,
    responses: [
      { status: 200, description, json: { BulkChange: bulkChangeSchema }, example, headers: ['Cache-Control'] },
    ],
    problems: ['invalid-filter', 'overloaded', 'shutting-down', 'store-unavailable'],

    create(deps) {
      const { store, intake, answers } = deps
      const change = createChange(deps)

      return async (ctx) => {
        const { dryRun, ...given } = parseQuery(querySchema, ctx.query)
        // Without a filter it would be all runs.
        if (Object.keys(given).length === 0) {
          throw new AppError('invalid-filter', `at least one of ${Object.keys(runFilter).join(', ')} is needed`)
        }
        let filter: RunFilter = { ...runFilterOf(given, store), pageSize: runsPerBatch }
        let matched = 0
        let changed = 0
        try {
          for (;;) {
            if (!intake.isOpen()) throw new AppError('shutting-down', 'the service is leaving')
            const { runs, hasMore, lastId = runs.at(-1)?.id } = await answers.readPage(filter)
            matched += runs.length
            if (!dryRun) await change(runs, () => (changed += 1))
            // A caller who has gone away wants no more of it.
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
  createCancelAll,
  'How many runs match, and how many of them were running and are cancelled.',
  { path: '/runs/cancel', operationId: 'cancelRuns', summary: 'cancels every run that the filter matches' },
)

export const retryRuns = changeRoute(
  createRetryAll,
  'How many runs match, and of how many of them jobs were queued again.',
  {
    path: '/runs/retry',
    operationId: 'retryRuns',
    summary: 'queues the failed and cancelled jobs again of every run that the filter matches',
  },
)
