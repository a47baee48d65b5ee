/** The routes on `node:http`: as a function of a request and a response for every host, and as a server of its own. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import Koa, { type Middleware } from 'koa'
import { AppError, BootError } from '../domain/errors.ts'
import { connectionRoom } from '../limits/process-limits.ts'
import type { Log } from '../log.ts'
import { createTurnScheduler } from '../runtime/event-loop.ts'
import { manageConnections, noteExpectation, type Refusal } from './connections.ts'
import { sendProblem } from './problem.ts'
import type { Mount } from './route.ts'
import { pathAndQueryOf } from './request-head.ts'

// Not imported: the first import of `node:http`, by any module, has Node load all of `fetch` with it, for names that it has
// on offer there (24.21; 40 ms of the start). See also `sendJson`.
const { createServer, request } = process.getBuiltinModule('node:http')

export interface HttpServer {
  /** @returns the base URL it can be reached at; rejects with BootError when the address cannot be had */
  listen(middleware: Middleware, host: string, port: number): Promise<string>
  /**
   * Sends the server one request that it refuses: what is compiled at the first use is compiled then, and not while the
   * first caller waits (measured: tens of milliseconds). Does nothing useful before runs are taken, and never rejects.
   * @param apiKey one that is known, where one is needed
   */
  warmUp(apiKey: string | undefined): Promise<void>
  /** Takes no more connections; resolves when the responses under way are out, and cuts them off after a second. */
  close(): Promise<void>
}

/** How long clients may take, in milliseconds. */
const defaultLimits = {
  /** From the beginning of a connection or request to the end of its header. */
  headersTimeoutMs: 10_000,
  /** To the end of its body; at least the time for the header. */
  requestTimeoutMs: 60_000,
  /**
   * From a response to the next request on the connection. Longer than the 60 s of common proxies: the side that closes
   * first must not be the one that is sent requests (https://github.com/nodejs/node/issues/59193).
   */
  keepAliveTimeoutMs: 65_000,
  /** Between two looks for clients that are late. */
  checkIntervalMs: 1_000,
  /** For reading a response, without any progress; a response that is still being written has no limit here. */
  sendTimeoutMs: 60_000,
  /** For sending on after the last response of a connection, unheard. */
  lingerMs: 2_000,
}

export type ServerLimits = typeof defaultLimits & {
  /** Connections at once; default: what file descriptors there are, less what the rest of the process needs. */
  readonly maxConnections?: number
}

const closeLimitMs = 1_000
const minConnections = 8
const warmUpLimitMs = 1_000
/** A burst of requests is begun a few at a time. */
const requestsPerTurn = 16

export function createHttpServer(log: Log, limits: Partial<ServerLimits> = {}): HttpServer {
  const { sendTimeoutMs, lingerMs, maxConnections, ...timeouts }: ServerLimits = { ...defaultLimits, ...limits }
  const server: Server = createServer({
    headersTimeout: timeouts.headersTimeoutMs,
    requestTimeout: timeouts.requestTimeoutMs,
    keepAliveTimeout: timeouts.keepAliveTimeoutMs,
    connectionsCheckingInterval: timeouts.checkIntervalMs,
    // Checked here: Node's own response has no body.
    requireHostHeader: false,
  })
  const connections = manageConnections(server, { sendTimeoutMs, lingerMs, log })
  const turns = createTurnScheduler(requestsPerTurn)
  let url = ''

  return {
    async listen(middleware, host, port) {
      const handle = createListener(middleware, log)
      const take = (incoming: IncomingMessage, response: ServerResponse): void => {
        connections.take(response, () => turns.run(() => handle(incoming, response)), flawOf(incoming))
      }
      server.on('request', take)
      server.on('checkContinue', (incoming, response) => {
        noteExpectation(incoming)
        take(incoming, response)
      })
      server.on('checkExpectation', (_incoming, response) => {
        connections.take(response, () => {}, { status: 417, detail: 'only 100-continue can be expected' })
      })
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      server.on('error', (error) => reject(new BootError(`cannot listen on ${host}:${port}: ${error.message}`, error)))
      server.listen(port, host, () => resolve(urlOf(server.address())))
      url = await promise
      // Now that all that the process keeps open is open.
      connections.bound(maxConnections ?? roomForConnections())
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

/** @throws BootError when there are so few descriptors that next to none could be answered */
function roomForConnections(): number {
  const room = connectionRoom()
  if (room >= minConnections) return room
  throw new BootError(`the limit of open files (ulimit -n) is too low by ${minConnections - room}`)
}

/** What is wrong with a request, before it is routed. Leaves a path and a query as its URL when nothing is. */
function flawOf(incoming: IncomingMessage): Refusal | undefined {
  const target = pathAndQueryOf(incoming.url ?? '')
  if (target === undefined) return { status: 400, detail: 'the target of the request is no URL' }
  incoming.url = target
  if (incoming.headers.host !== undefined || incoming.httpVersion !== '1.1') return undefined
  return { status: 400, detail: 'the request has no Host' }
}

/** Whether it is answered does not matter. */
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

/** A path that is none of the routes is answered with 404. */
export function createListener(middleware: Middleware, log: Log, prefix = ''): Listener {
  const app = new Koa()
  // A client that goes away while it is answered is no error of the host.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'a connection failed'))
  app.use(middleware)
  app.use((ctx) => sendProblem(ctx, new AppError('not-found', `there is nothing at ${ctx.path}`), log, prefix))
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
