/** All runs: GET /runs lists those that a filter matches, GET /runs/events says when any of them changes. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import { listedRunExample } from '../openapi/examples.ts'
import { countParameter, parseQuery, runFilterParameters, runFilterOf } from '../validation.ts'
import type { Route } from '../route.ts'
import { checkAcceptsEvents, eventStreamType, sendEventsHead } from '../streaming/event-stream.ts'
import { runPageSchema, type RunPageView, viewRun } from '../views/run.ts'

const maxPageSize = 500

const pageQuerySchema = z.strictObject({
  ...runFilterParameters,
  pageSize: countParameter.transform((size) => Math.min(size, maxPageSize)).default(50),
  pageToken: z.string().exactOptional().describe('`nextPageToken` of the page before'),
})

const pageQuery: Record<keyof z.output<typeof pageQuerySchema>, z.ZodType> = {
  ...pageQuerySchema.shape,
  // Text for the parser, a number for readers of the documentation.
  pageSize: z
    .int()
    .min(1)
    .default(50)
    .describe('values above 500 mean 500; `pageSize` of the page has the value that was used'),
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
      description: 'One page. `Link` names the next one, if there is any.',
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
      const { pageToken, ...query } = parseQuery(pageQuerySchema, ctx.query)
      const before = pageToken === undefined ? {} : { beforeId: parsePageToken(pageToken) }
      const filter = { ...runFilterOf(query, store), ...before }
      const { runs, hasMore, lastId } = await responder.readPage(filter)
      const beforeId = lastId ?? runs.at(-1)?.id
      const nextPageToken = hasMore && beforeId !== undefined ? pageTokenOf(beforeId) : null
      if (nextPageToken !== null) {
        const next = new URLSearchParams(ctx.querystring)
        if (next.has('pageSize')) next.set('pageSize', String(query.pageSize))
        next.set('pageToken', nextPageToken)
        ctx.set('Link', `<${prefix}/runs?${next.toString()}>; rel="next"`)
      }
      ctx.status = 200
      ctx.set('Cache-Control', 'no-cache')
      const views = runs.map((run) => viewRun(run, { ...view, showsResults: false }))
      await responder.sendTagged(ctx, { runs: views, nextPageToken, pageSize: query.pageSize } satisfies RunPageView)
    }
  },
}

/** A token for the page after this run, opaque to callers. */
export function pageTokenOf(runId: string): string {
  return Buffer.from(runId).toString('base64url')
}

/** @returns the id of the run. @throws AppError `invalid-page-token` for every text that `pageTokenOf` does not return */
export function parsePageToken(token: string): string {
  const id = Buffer.from(token, 'base64url').toString()
  // Decoding ignores unknown characters, so other texts would lead to the same id.
  if (isRunId(id) && pageTokenOf(id) === token) return id
  throw new AppError('invalid-page-token', 'the pageToken was not made by this service')
}

const changesSchema = z
  .object({ changes: z.int().min(0).describe('runs accepted and changes of runs since the previous event') })
  .readonly()
  .describe('How much has changed')

export const watchRuns: Route = {
  method: 'GET',
  path: '/runs/events',
  operationId: 'watchRuns',
  summary: 'says when runs were accepted or have changed',
  description:
    'Server-sent events: `changes` has Changes as its data. The first one comes at once, later ones at most every 250 ms and only after changes. Call `GET /runs` to see which runs have changed.',
  area: 'runs',
  responses: [
    {
      status: 200,
      description: 'The stream. It ends when the service stops.',
      mediaType: eventStreamType,
      example: 'event: changes\ndata: {"changes":3}\n\n',
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Changes: changesSchema },
  problems: ['not-acceptable', 'too-many-streams', 'shutting-down'],

  create({ changeStreams }) {
    return (ctx) => {
      checkAcceptsEvents(ctx)
      const opened = ctx.method === 'HEAD' ? null : changeStreams.open(ctx.res)
      sendEventsHead(ctx)
      opened?.start()
    }
  },
}
