/**
 * POST /runs/cancel and /runs/retry: change every run that a filter matches, a batch at a time, from the newest to the
 * oldest of those that were there at the beginning. Other requests get their turn between two batches.
 */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'
import type { RunFilter } from '../../store/store.ts'
import type { HttpDeps } from '../deps.ts'
import { runFilterOf } from '../run-filter.ts'
import { parseBulkQuery } from '../run-schema.ts'
import type { BulkChangeView } from '../schemas/run.ts'
import { sendJson } from '../send-json.ts'

/** Runs that are read at once, and changed in one commit where they have few jobs. */
const runsPerBatch = 100
/** Jobs that are queued again at once. */
const jobsPerBatch = 100

/** Calls `count` for each run that it has changed. */
type Change = (runs: readonly RunRecord[], count: () => void) => Promise<void>

export function createBulkRoutes({ store, intake, answers, clock }: HttpDeps) {
  const cancelAll: Change = async (runs, count) => {
    const live = runs.filter(({ state }) => state === 'running')
    const results = await Promise.all(live.map(({ id }) => store.cancel(id, null, clock.now())))
    for (const result of results) if (result === 'cancelled') count()
  }

  const retryAll: Change = async (runs, count) => {
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

  function createRoute(change: Change): RouterMiddleware {
    return async (ctx) => {
      const { dryRun, ...query } = parseBulkQuery(ctx.query)
      let filter: RunFilter = { ...runFilterOf(query, store), pageSize: runsPerBatch }
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
  }

  return { cancelRuns: createRoute(cancelAll), retryRuns: createRoute(retryAll) }
}
