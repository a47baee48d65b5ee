/** GET /runs/events: says when runs were accepted or have changed, as server-sent events. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import type { Route } from '../route.ts'
import { eventStreamHead, eventStreamType } from '../streaming/media-type.ts'

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
  answers: [
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
      if (ctx.accepts(eventStreamType) === false) {
        throw new AppError('not-acceptable', `events are ${eventStreamType}, which the Accept header excludes`)
      }
      if (ctx.method !== 'HEAD') changeStreams.checkRoom()
      ctx.status = 200
      ctx.set(eventStreamHead)
      if (ctx.method === 'HEAD') return
      // Not as a body of Koa's: it reports every client that goes away as an error of the app.
      ctx.respond = false
      ctx.flushHeaders()
      changeStreams.open(ctx.res)
    }
  },
}
