/** GET /runs/{id}/events: tells of a run while it changes, as server-sent events. */
import type { RouterMiddleware } from '@koa/router'
import { AppError } from '../../domain/errors.ts'
import { isRunId } from '../../domain/ids.ts'
import type { HttpDeps } from '../deps.ts'

const mediaType = 'text/event-stream'

const head = {
  'Content-Type': `${mediaType}; charset=utf-8`,
  'Cache-Control': 'no-store',
  // Tells nginx, and those who do the same, to pass each event on.
  'X-Accel-Buffering': 'no',
}

export function createEventsRoute({
  store,
  streams,
  prefix,
}: Pick<HttpDeps, 'store' | 'streams' | 'prefix'>): RouterMiddleware {
  return async (ctx) => {
    const id = String(ctx.params['id'])
    if (ctx.accepts(mediaType) === false) {
      throw new AppError('not-acceptable', `events are ${mediaType}, which the Accept header excludes`)
    }
    if (ctx.method === 'HEAD') {
      if (!isRunId(id) || (await store.getRun(id)) === null) throw notFound(id)
      ctx.status = 200
      ctx.set(head)
      return
    }
    const opened = isRunId(id) ? await streams.open(id, ctx.res, prefix) : null
    if (opened === null) throw notFound(id)
    const { state, version } = opened.run
    if (state !== 'running' && ctx.get('Last-Event-ID') === String(version)) {
      // An EventSource that has seen the end would ask for ever; this stops it.
      ctx.status = 204
      ctx.set('Cache-Control', 'no-store')
      return
    }
    ctx.status = 200
    ctx.set(head)
    // Not as a body of Koa's: it reports every client that goes away as an error of the app.
    ctx.respond = false
    ctx.flushHeaders()
    opened.start()
  }
}

function notFound(id: string): AppError {
  return new AppError('run-not-found', `there is no run ${id}`)
}
