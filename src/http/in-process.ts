/**
 * Requests from inside the process: the same routes, over a pair of streams in memory instead of a socket. A call of the
 * library therefore has the same results and errors as the same call over HTTP.
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

/** The members of a `Response` that the client uses. A real one would make Node load all of `fetch`. */
type InProcessResponse = ReturnType<typeof responseOf>

/** Rejects with the reason of the signal if it is aborted before the response starts. */
export type AskInProcess = (url: URL, init: InProcessRequest) => Promise<InProcessResponse>

export function createInProcess(middleware: Middleware, log: Log): AskInProcess {
  let loading: Promise<Server> | undefined

  /** Called for the first request, because many host apps never send one. */
  async function load(): Promise<Server> {
    const { createListener } = await import('./server.ts')
    // It never listens, so it has no timers to stop.
    return createServer(createListener(middleware, log))
  }

  return async (url, { method, headers, body, signal }) => {
    const server = await (loading ??= load())
    signal?.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<InProcessResponse>()
    const [near, far] = duplexPair()
    server.emit('connection', far)
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
    const outgoing = request({
      method,
      path: url.pathname + url.search,
      headers: { Host: url.host, ...headers, ...length },
      createConnection: () => near,
    })
    const onAbort = (): void => void outgoing.destroy(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    outgoing.once('close', () => signal?.removeEventListener('abort', onAbort))
    // Errors after the response has started are thrown to its reader.
    outgoing.on('error', (error) => reject(signal?.aborted === true ? signal.reason : error))
    outgoing.once('response', (incoming) => resolve(responseOf(incoming, url, signal)))
    outgoing.end(body)
    return promise
  }
}

function responseOf(incoming: IncomingMessage, { href }: URL, signal: AbortSignal | null) {
  const { statusCode: status = 0, statusMessage: statusText = '' } = incoming
  const readText = (): Promise<string> => text(incoming).catch((error: unknown) => throwReason(error, signal))
  return {
    ok: status >= 200 && status < 300,
    status,
    statusText,
    url: href,
    headers: {
      get(name: string) {
        const value = incoming.headers[name.toLowerCase()]
        return value === undefined ? null : String(value)
      },
    },
    body: { getReader: () => readerOf(incoming, signal) },
    text: readText,
    json: async () => JSON.parse(await readText()) as unknown,
  }
}

function readerOf(incoming: IncomingMessage, signal: AbortSignal | null) {
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
