/**
 * Connections: what Node leaves to its user, and a proxy in front does not take over. The proxy itself is a client here:
 * it sends one request after another, closes its half of a connection, and needs a response to everything that it sends.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../log.ts'

// Not imported, see `server.ts`.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

export interface Connections {
  /**
   * Has a request handled when those before it on its connection are answered, and their responses taken by the operating
   * system, which it does as the client reads. A request with a flaw is answered with that, in its turn.
   */
  take(response: ServerResponse, handle: () => void, flaw?: Refusal): void
  /** Sets the largest number of connections at once: idle ones make room, and others are refused. */
  bound(max: number): void
}

/** Answered by a problem of no type of its own (RFC 9457, 4.2.1), and with the end of the connection. */
export interface Refusal {
  readonly status: number
  readonly detail: string
}

export interface ConnectionsOptions {
  /** How long a client may leave a response unread, without any progress, when all of it is written. */
  readonly sendTimeoutMs: number
  /** How long a client may go on sending after the service has closed its half. */
  readonly lingerMs: number
  readonly log: Log
}

interface Connection {
  newest: ServerResponse | undefined
  isAnswering: boolean
  isRefused: boolean
  readonly waiting: { readonly response: ServerResponse; readonly handle: () => void }[]
}

/** Connections beyond the bound that get a response; any more are closed without one. */
const refusedAtOnce = 8
const tooManyLineMs = 60_000
/** Requests of one connection that wait for the one that is being answered. */
const maxWaiting = 64

export function manageConnections(server: Server, { sendTimeoutMs, lingerMs, log }: ConnectionsOptions): Connections {
  const connections = new WeakMap<Duplex, Connection>()
  let open = 0
  let maxOpen = Number.POSITIVE_INFINITY
  let warnedAt = Number.NEGATIVE_INFINITY

  function connectionOf(socket: Duplex): Connection {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { newest: undefined, isAnswering: false, isRefused: false, waiting: [] }
    connections.set(socket, connection)
    return connection
  }

  server.on('connection', (socket: Socket) => {
    // Node destroys the socket after the last response. With bytes unread, that resets the connection, and the client
    // may never see the response (RFC 9112, 9.6; https://github.com/nodejs/node/issues/21026).
    socket.destroySoon = () => closeGently(socket, lingerMs)
    open += 1
    socket.once('close', () => (open -= 1))
    if (open < maxOpen) return
    // Room for the next one: closing a connection that waits for a request loses no response.
    server.closeIdleConnections()
    if (open > maxOpen) turnAway(socket)
  })

  function turnAway(socket: Socket): void {
    if (performance.now() - warnedAt > tooManyLineMs) {
      warnedAt = performance.now()
      log.warn({ connections: open, max: maxOpen }, 'too many connections: more are refused')
    }
    socket.on('error', () => {})
    refuseSocket(socket, { status: 503, detail: 'too many connections are open' })
  }

  // Node would answer what its parser refuses without a body, and cut off a response that is under way
  // (https://nodejs.org/api/http.html#event-clienterror).
  server.on('clientError', (error: Error, socket) => {
    const connection = connectionOf(socket)
    // Whatever comes after it is an error again.
    if (connection.isRefused) return
    connection.isRefused = true
    const refusal = refusalOf(error)
    log.debug({ err: error, status: refusal.status }, 'a connection was refused')
    const response = connection.newest
    if (response === undefined || response.closed) refuseSocket(socket, refusal)
    else if (response.req.complete) response.once('close', () => refuseSocket(socket, refusal))
    else if (response.headersSent) response.once('close', () => closeGently(socket, lingerMs))
    else refuse(response, refusal)
  })

  // Node would hang up without a word (https://nodejs.org/api/http.html#event-connect).
  server.on('connect', (_request, socket) => {
    socket.on('error', () => {})
    socket.resume()
    refuseSocket(socket, { status: 501, detail: 'this is no proxy' })
  })

  /** Nothing else must be under way on the socket. */
  function refuseSocket(socket: Duplex, refusal: Refusal): void {
    if (socket.writable) {
      const { headers, text } = documentOf(refusal)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
      const head = [`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`, ...lines, '', ''].join('\r\n')
      socket.write(head + text)
    }
    closeGently(socket, lingerMs)
  }

  function handleNow(connection: Connection, response: ServerResponse, handle: () => void): void {
    connection.isAnswering = true
    response.once('close', () => {
      connection.isAnswering = false
      handleNext(connection, response.req.socket)
    })
    handle()
  }

  function handleNext(connection: Connection, socket: Duplex): void {
    const next = connection.waiting.shift()
    if (next === undefined || socket.destroyed) return
    // It was refused meanwhile, because of what came after it.
    if (next.response.closed || next.response.headersSent) handleNext(connection, socket)
    else handleNow(connection, next.response, next.handle)
  }

  return {
    bound(max) {
      maxOpen = max
      if (Number.isFinite(max)) server.maxConnections = max + refusedAtOnce
    },
    take(response, handle, flaw) {
      const { socket } = response.req
      const connection = connectionOf(socket)
      // The client has sent it after one whose response ends the connection: it must not be begun (RFC 9112, 9.6).
      if (socket.writableEnded || connection.isRefused) return
      connection.newest = response
      // Without it a response that the client does not read would be kept for ever; and the time for the next request,
      // which Node counts from the last write, would cut off one that is being read (https://github.com/nodejs/node/issues/15082).
      response.once('prefinish', () => socket.setTimeout(sendTimeoutMs))
      // After the last response Node sets its own limit; after another one the limit would stay for the response that follows.
      response.once('finish', () => connection.newest !== response && socket.setTimeout(0))
      // Node would begin pipelined requests all at once, also those that change something (RFC 9112, 9.3.2;
      // https://github.com/nodejs/node/issues/50850), and hold all their responses for a client that reads none.
      if (flaw !== undefined) refuse(response, flaw)
      else if (!connection.isAnswering) handleNow(connection, response, handle)
      else if (connection.waiting.length < maxWaiting) connection.waiting.push({ response, handle })
      else {
        // Node goes on reading requests from it.
        log.debug({ waiting: maxWaiting }, 'a connection was cut off on which too many requests wait')
        socket.destroy()
      }
    },
  }
}

/** Sends no more, and drops what comes in until the client closes too, or has had its time. */
function closeGently(socket: Duplex, lingerMs: number): void {
  if (socket.destroyed || socket.writableEnded) return
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

/** In turn with the responses before it. */
function refuse(response: ServerResponse, refusal: Refusal): void {
  const { headers, text } = documentOf(refusal)
  response.writeHead(refusal.status, headers).end(text)
}

function documentOf({ status, detail }: Refusal): { readonly headers: Record<string, string>; readonly text: string } {
  const text = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail })
  return {
    text,
    headers: {
      'Content-Type': 'application/problem+json',
      'Content-Length': String(Buffer.byteLength(text)),
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
      Connection: 'close',
    },
  }
}

/** Requests whose clients ask before they send their body (RFC 9110, 10.1.1). */
const asking = new WeakSet<IncomingMessage>()

/** Node leaves the go-ahead to us. A response without it ends the connection, which Node sees to. */
export function noteExpectation(request: IncomingMessage): void {
  asking.add(request)
}

/** Call it when nothing but the body itself can still be refused. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (asking.delete(request)) response.writeContinue()
}

/** The codes are those of Node's parser and server. */
function refusalOf(error: Error): Refusal {
  switch (Reflect.get(error, 'code')) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, detail: 'the header fields are too large' }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { status: 413, detail: 'the chunk extensions are too large' }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, detail: 'the request did not arrive in time' }
    default:
      return { status: 400, detail: 'this is not a well-formed HTTP request' }
  }
}
