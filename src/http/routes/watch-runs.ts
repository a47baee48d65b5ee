/** GET /runs/events: says when runs were accepted or have changed, as server-sent events. */
import { z } from 'zod'
import type { Route } from '../route.ts'
import { checkTakesEvents, eventStreamType, sendEventsHead } from '../streaming/stream-responses.ts'

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
      checkTakesEvents(ctx)
      const opened = ctx.method === 'HEAD' ? null : changeStreams.open(ctx.res)
      sendEventsHead(ctx)
      opened?.start()
    }
  },
}
