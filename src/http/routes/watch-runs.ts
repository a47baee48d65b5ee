/** Server-sent events: GET /runs/{id}/events of one run while it changes, GET /runs/events of all. */
import { z } from 'zod'
import { findRun, noSuchRun, runIdOf } from '../request-parameters.ts'
import { runExample } from '../openapi/examples.ts'
import type { Route } from '../route.ts'
import { hidesSecrets } from '../permissions.ts'
import { checkTakesEvents, eventStreamType, sendEventsHead } from '../streaming/event-stream.ts'
import { progressSchema } from '../views/job.ts'

const example = `id: 3\nevent: run\ndata: ${JSON.stringify(runExample)}\n\nevent: progress\ndata: {"jobIndex":1,"progress":0.5}\n\n`

export const watchRun: Route = {
  method: 'GET',
  path: '/runs/{id}/events',
  operationId: 'watchRun',
  summary: 'sends the run now, and whenever it changes, until it ends',
  description:
    'Server-sent events: `run` has a Run as its data and its version as id; `progress` has a Progress and no id. A result above 16 KiB is replaced by `resultBytes`.',
  area: 'runs',
  headers: ['Last-Event-ID'],
  responses: [
    {
      status: 200,
      description: 'The stream, which ends after the final state.',
      mediaType: eventStreamType,
      example,
      headers: ['Cache-Control'],
    },
    { status: 204, description: 'The final state has been received before.', headers: ['Cache-Control'] },
  ],
  schemas: { Progress: progressSchema },
  problems: ['run-not-found', 'not-acceptable', 'too-many-streams', 'store-unavailable', 'shutting-down'],

  create({ store, streams, prefix }) {
    return async (ctx, params) => {
      checkTakesEvents(ctx)
      const id = runIdOf(params)
      if (ctx.method === 'HEAD') {
        await findRun(store, id)
        sendEventsHead(ctx)
        return
      }
      const opened = await streams.open(id, ctx.res, { prefix, isReader: hidesSecrets(ctx) })
      if (opened === null) throw noSuchRun(id)
      const { state, version } = opened.run
      if (state !== 'running' && ctx.get('Last-Event-ID') === String(version)) {
        // An EventSource that has seen the end would ask for ever; this stops it.
        ctx.status = 204
        ctx.set('Cache-Control', 'no-store')
        return
      }
      sendEventsHead(ctx)
      opened.start()
    }
  },
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
      checkTakesEvents(ctx)
      const opened = ctx.method === 'HEAD' ? null : changeStreams.open(ctx.res)
      sendEventsHead(ctx)
      opened?.start()
    }
  },
}
