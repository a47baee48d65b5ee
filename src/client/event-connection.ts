/** One connection to a stream of events: opened, read, and given up when it falls silent. */
import { createEventParser, type ServerEvent } from './event-parser.ts'
import type { Send } from './transport.ts'

export interface EventConnection {
  /** Ends when the server ends the stream; an event that is not whole by then is dropped. Rejects when it is cut. */
  readonly events: AsyncIterable<ServerEvent>
  /** What the server wants to be waited before a reconnect, in milliseconds; null where it has not said. */
  retryMs(): number | null
}

export interface ConnectOptions {
  readonly path: string
  /** Empty for a first connection. */
  readonly lastEventId: string
  /** How long nothing at all may come before the connection counts as cut, in milliseconds. */
  readonly silenceLimitMs: number
  readonly signal?: AbortSignal | undefined
}

/** @returns null where there is nothing more to come (204) */
export async function connect(send: Send, options: ConnectOptions): Promise<EventConnection | null> {
  const { path, lastEventId, silenceLimitMs, signal } = options
  const silence = new AbortController()
  // Told like a cut by the network, which it most probably is.
  const giveUp = (): void => silence.abort(new TypeError(`nothing came for ${silenceLimitMs} ms`))
  let timer = setTimeout(giveUp, silenceLimitMs)
  const headers = { Accept: 'text/event-stream', ...(lastEventId !== '' && { 'Last-Event-ID': lastEventId }) }
  const ended = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal])
  const parser = createEventParser(lastEventId)

  const response = await send({ path, headers, signal: ended }).finally(() => clearTimeout(timer))
  const { body } = response
  if (response.status === 204 || body === null) return null

  async function* read(stream: NonNullable<typeof body>): AsyncGenerator<ServerEvent> {
    const reader = stream.getReader()
    // Takes a byte order mark away, as the standard wants it.
    const decoder = new TextDecoder()
    try {
      for (;;) {
        timer = setTimeout(giveUp, silenceLimitMs)
        const { done, value } = await reader.read().finally(() => clearTimeout(timer))
        if (done) return
        yield* parser.push(decoder.decode(value, { stream: true }))
      }
    } finally {
      // Also when nobody wants more of it. It fails where the stream has, which is known by then.
      await reader.cancel().catch(() => {})
    }
  }

  return { events: read(body), retryMs: parser.retryMs }
}
