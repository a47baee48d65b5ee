/**
 * What Node leaves to us of the connections beneath the requests: answering what its parser refuses, in turn with the
 * answers under way, and closing so that the last answer arrives.
 */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Log } from '../log.ts'
import { refuse, refuseSocket, type Refusal } from './raw-error.ts'

export interface Connections {
  /** Notes the newest request of a connection. @returns whether it can still be answered there */
  begin(response: ServerResponse): boolean
  /** From now on there are no more than so many at once: idle ones make room, and others are refused. */
  bound(max: number): void
}

export interface ConnectionsOptions {
  /** How long a client may leave an answer unread, without any progress, when all of it is written. */
  readonly sendTimeoutMs: number
  /** How long a client that is told to close may go on sending. */
  readonly lingerMs: number
  readonly log: Log
}

/** Connections beyond the bound that are told so; any more are closed without a word. */
const refusedAtOnce = 8
const tooManyLineMs = 60_000

export function manageConnections(server: Server, { sendTimeoutMs, lingerMs, log }: ConnectionsOptions): Connections {
  const newest = new WeakMap<Duplex, ServerResponse>()
  const refused = new WeakSet<Duplex>()
  let open = 0
  let maxOpen = Number.POSITIVE_INFINITY
  let toldAt = Number.NEGATIVE_INFINITY

  server.on('connection', (socket: Socket) => {
    // Node destroys the socket after the last answer. With bytes unread, that resets the connection, and the client
    // may never see the answer (RFC 9112, 9.6).
    socket.destroySoon = () => closeGently(socket, lingerMs)
    open += 1
    socket.once('close', () => (open -= 1))
    if (open < maxOpen) return
    // For the next one: those that wait for a request are told nothing that they have asked for.
    server.closeIdleConnections()
    if (open > maxOpen) turnAway(socket)
  })

  function turnAway(socket: Socket): void {
    if (performance.now() - toldAt > tooManyLineMs) {
      toldAt = performance.now()
      log.warn({ connections: open, max: maxOpen }, 'too many connections: more are refused')
    }
    socket.on('error', () => {})
    answerSocket(socket, { status: 503, detail: 'too many connections are open' })
  }

  server.on('clientError', (error: Error, socket) => {
    // Whatever comes after it is an error again.
    if (refused.has(socket)) return
    refused.add(socket)
    const refusal = refusalOf(error)
    log.debug({ err: error, status: refusal.status }, 'a connection was refused')
    const response = newest.get(socket)
    if (response === undefined || response.closed) answerSocket(socket, refusal)
    else if (response.req.complete) response.once('close', () => answerSocket(socket, refusal))
    else if (response.headersSent) response.once('close', () => closeGently(socket, lingerMs))
    else refuse(response, refusal)
  })

  // Node would hang up without a word.
  server.on('connect', (_request, socket) => {
    socket.on('error', () => {})
    socket.resume()
    answerSocket(socket, { status: 501, detail: 'this is no proxy' })
  })

  function answerSocket(socket: Duplex, refusal: Refusal): void {
    if (socket.writable) refuseSocket(socket, refusal)
    closeGently(socket, lingerMs)
  }

  return {
    bound(max) {
      maxOpen = max
      if (Number.isFinite(max)) server.maxConnections = max + refusedAtOnce
    },
    begin(response) {
      const { socket } = response.req
      // The client has sent it behind one whose answer ends the connection: it must not be begun (RFC 9112, 9.6).
      if (socket.writableEnded || refused.has(socket)) return false
      newest.set(socket, response)
      response.once('prefinish', () => socket.setTimeout(sendTimeoutMs))
      // Behind the last answer Node sets its own limit; behind another one it would be left to the answer that follows.
      response.once('finish', () => newest.get(socket) !== response && socket.setTimeout(0))
      return true
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
