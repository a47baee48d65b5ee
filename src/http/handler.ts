/** The routes as plain functions of a request and a response, for every host that is built on `node:http`. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import Koa, { type Middleware } from 'koa'
import { AppError } from '../domain/errors.ts'
import type { Log } from '../log.ts'
import { answerProblem } from './handle-error.ts'
import type { Mount } from './middleware.ts'
import { pathAndQueryOf } from './mount.ts'

export type Listener = (incoming: IncomingMessage, response: ServerResponse) => void

/** A path that is none of the routes is answered with 404. */
export function createListener(middleware: Middleware, log: Log, prefix = ''): Listener {
  const app = new Koa()
  // A client that goes away while it is answered is no error of the host.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'a connection failed'))
  app.use(middleware)
  app.use((ctx) => answerProblem(ctx, new AppError('not-found', `there is nothing at ${ctx.path}`), log, prefix))
  const handle = app.callback()
  return (incoming, response) => void handle(incoming, response)
}

/** `next` is called for a path that is none of the routes. */
export type Handler = (incoming: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => void

export function createHandler({ middleware, owns }: Mount, prefix: string, log: Log): Handler {
  const listener = createListener(middleware, log, prefix)

  return (incoming, response, next) => {
    const target = pathAndQueryOf(incoming.url ?? '')
    if (next !== undefined && (target === undefined || !owns(target, incoming))) next()
    else listener(incoming, response)
  }
}
