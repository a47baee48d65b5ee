/** All runs that a filter matches: GET /runs lists them, POST /runs/cancel and /runs/retry change them. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { RunRecord } from '../../domain/run.ts'
import type { RunFilter } from '../../store/store.ts'
import { listedRunExample } from '../openapi/examples.ts'
import { countText, parseQuery, runFilter, runFilterOf } from '../request-parameters.ts'
import type { HttpDeps, Route } from '../route.ts'
import { sendJson } from '../views/json.ts'
import { bulkChangeSchema, type BulkChangeView, runPageSchema, type RunPageView, viewRun } from '../views/run.ts'

const maxPageSize = 500

const pageQuerySchema = z.strictObject({
  ...runFilter,
  pageSize: countText.transform((size) => Math.min(size, maxPageSize)).default(50),
  pageToken: z.string().exactOptional().describe('`nextPageToken` of the page before'),
})

const pageQuery: Record<keyof z.output<typeof pageQuerySchema>, z.ZodType> = {
  ...pageQuerySchema.shape,
  // Arrives as text, and is a number to its sender.
  pageSize: z.int().min(1).default(50).describe('above 500 it is 500, as `pageSize` of the page says'),
}

const pageExample: RunPageView = {
  runs: [listedRunExample],
  nextPageToken: 'MDFhMjA3MWQtMGE0YS03MjAwLTg5ZWEtYzFkYjk3MWJiNmI3',
  pageSize: 50,
}

export const listRuns: Route = {
  method: 'GET',
  path: '/runs',
  operationId: 'listRuns',
  summary: 'lists the runs, newest first',
  area: 'runs',
  query: pageQuery,
  headers: ['If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'One page. While there are more, `Link` names the next.',
      json: { RunPage: runPageSchema },
      example: pageExample,
      headers: ['ETag', 'Cache-Control'],
      mayHave: ['Link'],
    },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'], mayHave: ['Link'] },
  ],
  problems: ['invalid-filter', 'invalid-page-token', 'overloaded', 'store-unavailable'],

  create({ store, view, responder, prefix }) {
    return async (ctx) => {
      const { pageToken, ...asked } = parseQuery(pageQuerySchema, ctx.query)
      const { pageSize } = asked
      const before = pageToken === undefined ? {} : { beforeId: parsePageToken(pageToken) }
      const filter = { ...runFilterOf(asked, store), ...before }
      const { runs, hasMore, lastId = runs.at(-1)?.id } = await responder.readPage(filter)
      const nextPageToken = hasMore && lastId !== undefined ? pageTokenOf(lastId) : null
      if (nextPageToken !== null) {
        const next = new URLSearchParams(ctx.querystring)
        if (next.has('pageSize')) next.set('pageSize', String(pageSize))
        next.set('pageToken', nextPageToken)
        ctx.set('Link', `<${prefix}/runs?${next.toString()}>; rel="next"`)
      }
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      const shown = runs.map((run) => viewRun(run, { ...view, showsResults: false }))
      const page: RunPageView = { runs: shown, nextPageToken, pageSize }
      await responder.sendTagged(ctx, page)
    }
  },
}

/** The id of the last run on the page before, opaque to callers. */
export function pageTokenOf(runId: string): string {
  return Buffer.from(runId).toString('base64url')
}

/** @returns the run's id. @throws AppError `invalid-page-token` for every text that `pageTokenOf` does not make */
export function parsePageToken(token: string): string {
  const id = Buffer.from(token, 'base64url').toString()
  // Decoding passes over what it does not know, so other texts would give the same id.
  if (isRunId(id) && pageTokenOf(id) === token) return id
  throw new AppError('invalid-page-token', 'the pageToken is none that this service has made')
}

/** Runs that are read at once, and changed in one commit where they have few jobs. */
const runsPerBatch = 100
/** Jobs that are queued again at once. */
const jobsPerBatch = 100

// A change goes through the runs a batch at a time, from the newest to the oldest of those that were there at the beginning.
// Other requests get their turn between two batches.

const changeQuerySchema = z.strictObject({
  ...runFilter,
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
})

const changeQuery: Record<keyof z.output<typeof changeQuerySchema>, z.ZodType> = {
  ...runFilter,
  dryRun: z.boolean().default(false).describe('only counts'),
}

const changeExample: BulkChangeView = { matched: 12, changed: 9 }

type ChangeDeps = Pick<HttpDeps, 'store' | 'intake' | 'clock'>
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
          throw new AppError('invalid-filter', `at least one of ${Object.keys(runFilter).join(', ')} is needed`)
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
