/** The routes on `node:http`: in a server of our own, or as a function of request and response for any host app. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa, { type Middleware } from 'koa'
import { AppError, BootError } from '../domain/errors.ts'
import { connectionRoom } from '../limits/process-limits.ts'
import type { Log } from '../log.ts'
import { createTurnScheduler } from '../runtime/event-loop.ts'
import { manageConnections, noteExpectation, type Refusal } from './connections.ts'
import { sendProblem } from './problem.ts'
import { pathAndQueryOf } from './request-head.ts'
import type { Mount } from './route.ts'

// Not an import: the first import of `node:http` by any module makes Node load all of `fetch`, to re-export some of its
// names. In Node 24.21 that takes 40 ms of the start.
const { createServer, request } = process.getBuiltinModule('node:http')

export interface HttpServer {
  /** @returns the base URL; rejects with BootError when the address is not available */
  listen(middleware: Middleware, host: string, port: number): Promise<string>
  /**
   * Sends the server one invalid request, so that code is compiled before the first caller waits for it (measured: tens of
   * milliseconds). Never rejects.
   * @param apiKey any valid key; undefined: the service has none
   */
  warmUp(apiKey: string | undefined): Promise<void>
  /** Accepts no more connections. Resolves when all responses are sent; after a second, cuts off the rest. */
  close(): Promise<void>
}

/** How long clients may take, in milliseconds. */
const defaultLimits = {
  /** From the start of a connection or request to the end of the request's header. */
  headersTimeoutMs: 10_000,
  /** From the same start to the end of the request's body, so not below the time for the header. */
  requestTimeoutMs: 60_000,
  /**
   * From a response to the next request on the connection. Longer than the 60 s of common proxies: if the service closed a
   * connection first, the proxy could be sending a request on it (https://github.com/nodejs/node/issues/59193).
   */
  keepAliveTimeoutMs: 65_000,
  /** Interval of the checks for late clients. */
  checkIntervalMs: 1_000,
  /** For reading a complete response without any progress. A response that is still being written has no limit here. */
  sendTimeoutMs: 60_000,
  /** For sending after the last response of a connection. */
  lingerMs: 2_000,
}

export type ServerLimits = typeof defaultLimits & {
  /** Open connections. Default: the limit of file descriptors, less those that the rest of the process needs. */
  readonly maxConnections?: number
}

const closeLimitMs = 1_000
const minConnections = 8
const warmUpLimitMs = 1_000
/** Requests of a burst that are started in one turn of the event loop. */
const requestsPerTurn = 16

export function createHttpServer(log: Log, limits: Partial<ServerLimits> = {}): HttpServer {
  const { sendTimeoutMs, lingerMs, maxConnections, ...timeouts }: ServerLimits = { ...defaultLimits, ...limits }
  const server: Server = createServer({
    headersTimeout: timeouts.headersTimeoutMs,
    requestTimeout: timeouts.requestTimeoutMs,
    keepAliveTimeout: timeouts.keepAliveTimeoutMs,
    connectionsCheckingInterval: timeouts.checkIntervalMs,
    // `refusalOf` checks it: Node's own response has no body.
    requireHostHeader: false,
  })
  const connections = manageConnections(server, { sendTimeoutMs, lingerMs, log })
  const turns = createTurnScheduler(requestsPerTurn)
  let url = ''

  return {
    async listen(middleware, host, port) {
      const listener = createListener(middleware, log)
      function handle(incoming: IncomingMessage, response: ServerResponse): void {
        const refusal = refusalOf(incoming)
        if (refusal !== undefined) connections.refuse(response, refusal)
        else connections.handleInTurn(response, () => turns.run(() => listener(incoming, response)))
      }
      server.on('request', handle)
      server.on('checkContinue', (incoming, response) => {
        noteExpectation(incoming)
        handle(incoming, response)
      })
      server.on('checkExpectation', (_incoming, response) => {
        connections.refuse(response, { status: 417, detail: 'only 100-continue can be expected' })
      })
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      server.on('error', (error) => reject(new BootError(`cannot listen on ${host}:${port}: ${error.message}`, error)))
      server.listen(port, host, () => resolve(urlOf(server.address())))
      url = await promise
      // The default depends on the file descriptors in use, and all long-lived ones are open by now.
      connections.limit(maxConnections ?? maxConnectionsByDefault())
      return url
    },
    warmUp: (apiKey) => warmUp(url, apiKey),
    close() {
      const { promise, resolve } = Promise.withResolvers<void>()
      server.close(() => resolve())
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), closeLimitMs)
      return promise.finally(() => clearTimeout(timer))
    },
  }
}

/** @throws BootError if there are too few file descriptors for a useful server */
function maxConnectionsByDefault(): number {
  const room = connectionRoom()
  if (room >= minConnections) return room
  throw new BootError(`the limit of open files (ulimit -n) is too low by ${minConnections - room}`)
}

/** Why a request is refused before it is routed. If it is not, its URL is reduced to path and query. */
function refusalOf(incoming: IncomingMessage): Refusal | undefined {
  const target = pathAndQueryOf(incoming.url ?? '')
  if (target === undefined) return { status: 400, detail: 'the target of the request is no URL' }
  incoming.url = target
  if (incoming.headers.host !== undefined || incoming.httpVersion !== '1.1') return undefined
  return { status: 400, detail: 'the request has no Host' }
}

function warmUp(url: string, apiKey: string | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const key = apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }
  const headers = { 'Content-Type': 'application/json', ...key }
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

export type Listener = (incoming: IncomingMessage, response: ServerResponse) => void

/** Responds with 404 to paths that no route has. */
export function createListener(middleware: Middleware, log: Log, prefix = ''): Listener {
  const app = new Koa()
  // Koa reports every client that disconnects during its response.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'a connection failed'))
  app.use(middleware)
  app.use((ctx) => sendProblem(ctx, new AppError('not-found', `there is nothing at ${ctx.path}`), log, prefix))
  const handle = app.callback()
  return (incoming, response) => void handle(incoming, response)
}

/** Calls `next` for paths that no route has. Without `next` it responds with 404. */
export type Handler = (incoming: IncomingMessage, response: ServerResponse, next?: (error?: unknown) => void) => void

export function createHandler({ middleware, owns }: Mount, prefix: string, log: Log): Handler {
  const listener = createListener(middleware, log, prefix)

  return (incoming, response, next) => {
    const target = pathAndQueryOf(incoming.url ?? '')
    if (next !== undefined && (target === undefined || !owns(target, incoming))) next()
    else listener(incoming, response)
  }
}
