/**
 * Requests from inside the process: the same routes, reached through a pair of streams in memory instead of a socket, so
 * that a call of the library has the result and the errors that the same call has over HTTP.
 */
import type { IncomingMessage, Server } from 'node:http'
import { duplexPair } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Middleware } from 'koa'
import type { Log } from '../log.ts'

// Not imported, see `server.ts`.
const { createServer, request } = process.getBuiltinModule('node:http')

export interface InProcessRequest {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal | null
}

/** As much of a Response as the client reads; a Response itself would have Node load all of `fetch`. */
export interface InProcessReply {
  readonly ok: boolean
  readonly status: number
  readonly statusText: string
  readonly url: string
  readonly headers: { get(name: string): string | null }
  readonly body: { getReader(): ReplyReader }
  text(): Promise<string>
  json(): Promise<unknown>
}

interface ReplyReader {
  read(): Promise<{ readonly done: boolean; readonly value: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/** Rejects with the reason of the signal when it is aborted before the response begins. */
export type AskInProcess = (url: URL, init: InProcessRequest) => Promise<InProcessReply>

export function createInProcess(middleware: Middleware, log: Log): AskInProcess {
  let loading: Promise<Server> | undefined

  /** At the first call: a host with an app of its own may never make one. */
  async function load(): Promise<Server> {
    const { createListener } = await import('./server.ts')
    // It never listens, and so has no timers.
    return createServer(createListener(middleware, log))
  }

  return async (url, { method, headers, body, signal }) => {
    const server = await (loading ??= load())
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<InProcessReply>()
    const [near, far] = duplexPair()
    server.emit('connection', far)
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
    const path = url.pathname + url.search
    const asking = request({
      method,
      path,
      headers: { Host: url.host, ...headers, ...length },
      createConnection: () => near,
    })
    const onAbort = (): void => void asking.destroy(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    asking.once('close', () => signal?.removeEventListener('abort', onAbort))
    // An error after the response has begun is thrown to its reader.
    asking.on('error', (error) => reject(signal?.aborted === true ? signal.reason : error))
    asking.once('response', (incoming) => resolve(replyOf(incoming, url, signal)))
    asking.end(body)
    return promise
  }
}

function replyOf(incoming: IncomingMessage, { href }: URL, signal: AbortSignal | null): InProcessReply {
  const { statusCode: status = 0, statusMessage: statusText = '' } = incoming
  const whole = (): Promise<string> => text(incoming).catch((error: unknown) => throwReason(error, signal))
  return {
    ok: status >= 200 && status < 300,
    status,
    statusText,
    url: href,
    headers: {
      get(name) {
        const value = incoming.headers[name.toLowerCase()]
        return value === undefined ? null : String(value)
      },
    },
    body: { getReader: () => readerOf(incoming, signal) },
    text: whole,
    json: async () => JSON.parse(await whole()) as unknown,
  }
}

function readerOf(incoming: IncomingMessage, signal: AbortSignal | null): ReplyReader {
  const chunks = incoming.iterator({ destroyOnReturn: true }) as AsyncIterableIterator<Uint8Array>
  return {
    async read() {
      try {
        const { done = false, value } = await chunks.next()
        return { done, value: done ? undefined : value }
      } catch (error) {
        throwReason(error, signal)
      }
    },
    async cancel() {
      incoming.destroy()
    },
  }
}

function throwReason(error: unknown, signal: AbortSignal | null): never {
  throw signal?.aborted === true ? signal.reason : error
}
