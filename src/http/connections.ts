/**
 * Connections: what neither Node nor a proxy in front of the service takes care of. For this file the proxy is a client: it
 * sends one request after another, closes its half of a connection, and needs a response to everything that it sends.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../log.ts'

// Not imported, see `server.ts`.
const { STATUS_CODES } = process.getBuiltinModule('node:http')

export interface Connections {
  /**
   * Handles a request once the responses to earlier requests on its connection are sent: the operating system has taken
   * them, which it does as the client reads.
   */
  handleInTurn(response: ServerResponse, handle: () => void): void
  /** Refuses a request, in its turn, and closes the connection after it. */
  refuse(response: ServerResponse, refusal: Refusal): void
  /** Sets the largest number of connections. Idle ones are closed to make room; beyond it connections are refused. */
  limit(max: number): void
}

/** Becomes a problem without a type of its own (RFC 9457, 4.2.1), and ends the connection. */
export interface Refusal {
  readonly status: number
  readonly detail: string
}

export interface ConnectionsOptions {
  /** How long a client may read nothing of a response that is written completely. */
  readonly sendTimeoutMs: number
  /** How long a client may go on sending after the service has closed its half. */
  readonly lingerMs: number
  readonly log: Log
}

interface Connection {
  newest: ServerResponse | undefined
  isHandling: boolean
  /** The connection ends with a refusal; later requests are ignored. */
  isRefused: boolean
  /** Pipelined requests. */
  readonly waiting: { readonly response: ServerResponse; readonly handle: () => void }[]
}

/** Connections beyond the limit that get a response; any more are closed without one. */
const maxRefused = 8
const warnIntervalMs = 60_000
/** Pipelined requests of one connection. */
const maxWaiting = 64

export function manageConnections(server: Server, { sendTimeoutMs, lingerMs, log }: ConnectionsOptions): Connections {
  const connections = new WeakMap<Duplex, Connection>()
  let open = 0
  let maxOpen = Number.POSITIVE_INFINITY
  let warnedAt = Number.NEGATIVE_INFINITY

  function connectionOf(socket: Duplex): Connection {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection: Connection = { newest: undefined, isHandling: false, isRefused: false, waiting: [] }
    connections.set(socket, connection)
    return connection
  }

  server.on('connection', (socket: Socket) => {
    // Node destroys the socket after the last response. If bytes are still unread, that resets the connection, and the
    // client may never see the response (RFC 9112, 9.6; https://github.com/nodejs/node/issues/21026).
    socket.destroySoon = () => closeGently(socket, lingerMs)
    open += 1
    socket.once('close', () => (open -= 1))
    if (open < maxOpen) return
    // Makes room for the next connection: idle ones wait for a request, so closing them loses no response.
    server.closeIdleConnections()
    if (open > maxOpen) refuseConnection(socket)
  })

  function refuseConnection(socket: Socket): void {
    if (performance.now() - warnedAt > warnIntervalMs) {
      warnedAt = performance.now()
      log.warn({ connections: open, max: maxOpen }, 'too many connections: more are refused')
    }
    socket.on('error', () => {})
    refuseSocket(socket, { status: 503, detail: 'too many connections are open' })
  }

  // By default Node responds without a body to what its parser refuses, and cuts off a response that is being sent
  // (https://nodejs.org/api/http.html#event-clienterror).
  server.on('clientError', (error: Error, socket) => {
    const connection = connectionOf(socket)
    // After the first error, all further bytes are errors too.
    if (connection.isRefused) return
    connection.isRefused = true
    const refusal = refusalOf(error)
    log.debug({ err: error, status: refusal.status }, 'a connection was refused')
    const response = connection.newest
    // The refusal is sent at once if no response is in progress, and after the response if only later bytes are faulty. If
    // the request itself is, the refusal is its response; if another one has begun, that is all the client gets.
    if (response === undefined || response.closed) refuseSocket(socket, refusal)
    else if (response.req.complete) response.once('close', () => refuseSocket(socket, refusal))
    else if (response.headersSent) response.once('close', () => closeGently(socket, lingerMs))
    else sendRefusal(response, refusal)
  })

  // By default Node closes the connection without a response (https://nodejs.org/api/http.html#event-connect).
  server.on('connect', (_request, socket) => {
    socket.on('error', () => {})
    socket.resume()
    refuseSocket(socket, { status: 501, detail: 'this is no proxy' })
  })

  /** Writes to the socket itself, so no response may be in progress on it. */
  function refuseSocket(socket: Duplex, refusal: Refusal): void {
    if (socket.writable) {
      const { headers, text } = problemOf(refusal)
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
      const head = [`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`, ...lines, '', ''].join('\r\n')
      socket.write(head + text)
    }
    closeGently(socket, lingerMs)
  }

  /** @returns undefined if the connection ends before this request: it must be ignored (RFC 9112, 9.6) */
  function admit(response: ServerResponse): Connection | undefined {
    const { socket } = response.req
    const connection = connectionOf(socket)
    if (socket.writableEnded || connection.isRefused) return undefined
    connection.newest = response
    // Otherwise a response that the client does not read would be kept for ever. Node's own limit does not fit: it counts
    // the time until the next request from the last write, although the response may still be read
    // (https://github.com/nodejs/node/issues/15082).
    response.once('prefinish', () => socket.setTimeout(sendTimeoutMs))
    // After the last response Node sets its own limit. After others this one must end, or it would cut off the next response.
    response.once('finish', () => {
      if (connection.newest !== response) socket.setTimeout(0)
    })
    return connection
  }

  function handleNow(connection: Connection, response: ServerResponse, handle: () => void): void {
    connection.isHandling = true
    response.once('close', () => {
      connection.isHandling = false
      handleNext(connection, response.req.socket)
    })
    handle()
  }

  function handleNext(connection: Connection, socket: Duplex): void {
    // The last response has ended the connection.
    if (socket.destroyed || socket.writableEnded) return
    const next = connection.waiting.shift()
    if (next === undefined) return
    // It was refused while it waited, because its body is malformed.
    if (next.response.closed || next.response.headersSent) handleNext(connection, socket)
    else handleNow(connection, next.response, next.handle)
  }

  return {
    // Node would start all pipelined requests at once, even if they change something (RFC 9112, 9.3.2;
    // https://github.com/nodejs/node/issues/50850), and keep all their responses for a client that reads none.
    handleInTurn(response, handle) {
      const connection = admit(response)
      if (connection === undefined) return
      if (!connection.isHandling) handleNow(connection, response, handle)
      else if (connection.waiting.length < maxWaiting) connection.waiting.push({ response, handle })
      else {
        // Not just ignored: Node goes on reading requests.
        log.debug({ waiting: maxWaiting }, 'a connection with too many pipelined requests was closed')
        response.req.socket.destroy()
      }
    },
    refuse(response, refusal) {
      const connection = admit(response)
      if (connection === undefined) return
      connection.isRefused = true
      sendRefusal(response, refusal)
    },
    limit(max) {
      maxOpen = max
      if (Number.isFinite(max)) server.maxConnections = max + maxRefused
    },
  }
}

/** Closes our half, and drops incoming bytes until the client closes its half or `lingerMs` have passed. */
function closeGently(socket: Duplex, lingerMs: number): void {
  if (socket.destroyed || socket.writableEnded) return
  socket.end()
  const timer = setTimeout(() => socket.destroy(), lingerMs)
  socket.once('close', () => clearTimeout(timer))
}

/** Node sends it after the responses to earlier requests. */
function sendRefusal(response: ServerResponse, refusal: Refusal): void {
  const { headers, text } = problemOf(refusal)
  response.writeHead(refusal.status, headers).end(text)
}

function problemOf({ status, detail }: Refusal): { readonly headers: Record<string, string>; readonly text: string } {
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

/** Requests whose clients wait for `100 Continue` before they send the body (RFC 9110, 10.1.1). */
const expectingContinue = new WeakSet<IncomingMessage>()

/** Postpones `100 Continue` until `sendContinue`. If the response comes without it, Node closes the connection. */
export function noteExpectation(request: IncomingMessage): void {
  expectingContinue.add(request)
}

/** Call it when the request can only be refused because of its body. */
export function sendContinue(request: IncomingMessage, response: ServerResponse): void {
  if (expectingContinue.delete(request)) response.writeContinue()
}

/** @param error of Node's parser or server */
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
