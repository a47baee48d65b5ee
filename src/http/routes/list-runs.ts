/** GET /runs: the runs that a filter matches, newest first, a page at a time. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import { listedRunExample } from '../openapi/examples.ts'
import type { Route } from '../route.ts'
import { parseQuery, runFilter, runFilterOf } from '../requested-runs.ts'
import { runPageSchema, viewRun, type RunPageView } from '../views/run.ts'

const maxPageSize = 500

const querySchema = z.strictObject({
  ...runFilter,
  pageSize: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'must be a whole number from 1')
    .transform((text) => Math.min(Number(text), maxPageSize))
    .default(50),
  pageToken: z.string().exactOptional().describe('`nextPageToken` of the page before'),
})

const query: Record<keyof z.output<typeof querySchema>, z.ZodType> = {
  ...querySchema.shape,
  // Arrives as text, and is a number to its sender.
  pageSize: z.int().min(1).default(50).describe('above 500 it is 500, as `pageSize` of the page says'),
}

const example: RunPageView = {
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
  query,
  headers: ['If-None-Match'],
  responses: [
    {
      status: 200,
      description: 'One page. While there are more, `Link` names the next.',
      json: { RunPage: runPageSchema },
      example,
      headers: ['ETag', 'Cache-Control'],
      mayHave: ['Link'],
    },
    { status: 304, description: 'It has not changed.', headers: ['ETag', 'Cache-Control'], mayHave: ['Link'] },
  ],
  problems: ['invalid-filter', 'invalid-page-token', 'overloaded', 'store-unavailable'],

  create({ store, view, answers, prefix }) {
    return async (ctx) => {
      const { pageToken, ...asked } = parseQuery(querySchema, ctx.query)
      const { pageSize } = asked
      const before = pageToken === undefined ? {} : { beforeId: parsePageToken(pageToken) }
      const filter = { ...runFilterOf(asked, store), ...before }
      const { runs, hasMore, lastId = runs.at(-1)?.id } = await answers.readPage(filter)
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
      await answers.sendTagged(ctx, page)
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
