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

const changesSchema = z
  .object({ changes: z.int().min(0).describe('runs accepted and changes of runs since the event before') })
  .readonly()
  .describe('How much has changed')

export const watchRuns: Route = {
  method: 'GET',
  path: '/runs/events',
  operationId: 'watchRuns',
  summary: 'says when runs were accepted or have changed',
  description:
    'Server-sent events: `changes` has Changes as its data. The first one comes at once; further ones at most every 250 ms, and none while nothing changes. Which runs these are says `GET /runs`.',
  area: 'runs',
  responses: [
    {
      status: 200,
      description: 'The stream, which ends when the service does.',
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
