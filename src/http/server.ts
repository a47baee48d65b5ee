/** The service as an HTTP server of its own: the middleware, and a problem for every other path. */
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa, { type Middleware } from 'koa'
import { AppError, BootError } from '../domain/errors.ts'
import { createTurns } from '../domain/turns.ts'
import type { Log } from '../log.ts'
import { answerProblem } from './problem.ts'

export interface HttpServer {
  /** @returns the base URL it can be reached at; rejects with BootError when the address cannot be had */
  listen(middleware: Middleware, host: string, port: number): Promise<string>
  /** Takes no more connections; resolves when the answers under way are out, and cuts them off after a second. */
  close(): Promise<void>
}

const closeLimitMs = 1_000
const warmUpLimitMs = 1_000
/** A burst of requests is begun a few at a time. */
const requestsPerTurn = 16

export function createHttpServer(log: Log): HttpServer {
  const app = new Koa()
  // A client that goes away while it is answered is its own affair.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'a connection failed'))
  const server: Server = createServer()
  const turns = createTurns(requestsPerTurn)

  return {
    async listen(middleware, host, port) {
      app.use(middleware)
      app.use((ctx) => answerProblem(ctx, new AppError('not-found', `there is nothing at ${ctx.path}`), log))
      const handle = app.callback()
      server.on('request', (incoming, response) => turns.run(() => void handle(incoming, response)))
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      server.on('error', (error) => reject(new BootError(`cannot listen on ${host}:${port}: ${error.message}`, error)))
      server.listen(port, host, () => resolve(urlOf(server.address())))
      const url = await promise
      await warmUp(url)
      return url
    },
    close() {
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), closeLimitMs)
      return promise.finally(() => clearTimeout(timer))
    },
  }
}

/**
 * Sends the server one request that it refuses: what is compiled at the first use is compiled then, and not while the
 * first caller waits (measured: tens of milliseconds). Whether it is answered does not matter.
 */
function warmUp(url: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const headers = { 'Content-Type': 'application/json' }
  const asking = request(`${url}/run-tasks`, { method: 'POST', headers, timeout: warmUpLimitMs, agent: false })
  asking.once('response', (response) => response.resume().once('close', resolve))
  asking.once('timeout', () => asking.destroy())
  asking.once('error', () => resolve())
  asking.end('{"tasks":[{"name":""}]}')
  return promise
}

function urlOf(address: AddressInfo | string | null): string {
  if (typeof address !== 'object' || address === null) return String(address)
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return `http://${host}:${address.port}`
}
