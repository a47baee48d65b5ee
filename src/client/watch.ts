/** Server-sent events: a run as it changes, over as many connections as it takes, and the parser of a stream. */
import type { ProgressView } from '../http/views/job.ts'
import type { RunView } from '../http/views/run.ts'
import { isPassing, jitteredBackOffMs, type JsonFormat, pause, ProblemError, type Send } from './transport.ts'

/** A run comes whole, except that a result above 16 KiB is replaced by `resultBytes`. */
export type WatchEvent =
  | { readonly type: 'run'; readonly run: RunView }
  | ({ readonly type: 'progress' } & ProgressView)

export interface WatchOptions {
  readonly signal?: AbortSignal
}

export interface WatchLimits {
  /** Tries in a row that bring no event. */
  readonly maxFailures: number
  /** Before the first reconnect, unless the server says otherwise; doubled with each further one that fails. */
  readonly firstPauseMs: number
  /** Whether what the server says of the pause counts. */
  readonly heedsServer: boolean
  /** The service sends something every 15 s. */
  readonly silenceLimitMs: number
}

export const watchLimits: WatchLimits = {
  maxFailures: 10,
  firstPauseMs: 1_000,
  heedsServer: true,
  silenceLimitMs: 45_000,
}

/** Inside the process a stream is cut only where its reader was slow, or the service leaves, which the next try says. */
export const localWatchLimits: WatchLimits = { ...watchLimits, maxFailures: 1, firstPauseMs: 1, heedsServer: false }

/** Begins with the run as it is and ends after its final state. A state that is passed meanwhile may be left out. */
export async function* watch(
  send: Send,
  id: string,
  { signal }: WatchOptions = {},
  { maxFailures, firstPauseMs, heedsServer, silenceLimitMs }: WatchLimits = watchLimits,
  json: JsonFormat = JSON,
): AsyncGenerator<WatchEvent, void, undefined> {
  const path = `/runs/${encodeURIComponent(id)}/events`
  let lastEventId = ''
  let version = 0
  let failures = 0
  let retryMs: number | null = null

  for (;;) {
    let cut: unknown = new TypeError('the stream ended before the run')
    let connection: EventConnection | null | undefined
    try {
      connection = await connect(send, { path, lastEventId, silenceLimitMs, signal })
      if (connection === null) return
      for await (const event of connection.events) {
        failures = 0
        lastEventId = event.lastEventId
        const news = newsOf(event, json)
        if (news === null) continue
        // A new connection begins with the run as it is, changed or not.
        const isKnown = news.type === 'run' && news.run.version <= version
        if (news.type === 'run') version = Math.max(version, news.run.version)
        if (!isKnown) yield news
        if (news.type === 'run' && news.run.state !== 'running') return
      }
    } catch (error) {
      if (!isPassing(error)) throw error
      cut = error
    }
    failures += 1
    if (failures > maxFailures) throw cut
    if (heedsServer) retryMs = connection?.retryMs() ?? retryMs
    const afterMs = cut instanceof ProblemError ? (cut.retryAfterS ?? 0) * 1_000 : 0
    await pause(Math.max(afterMs, jitteredBackOffMs(failures, retryMs ?? firstPauseMs)), signal)
  }
}

function newsOf({ name, data }: ServerEvent, json: JsonFormat): WatchEvent | null {
  if (name === 'run') return { type: 'run', run: json.parse(data) as RunView }
  if (name === 'progress') return { type: 'progress', ...(JSON.parse(data) as ProgressView) }
  return null
}

/** One connection to a stream of events: opened, read, and given up when it falls silent. */
interface EventConnection {
  /** Ends when the server ends the stream; an event that is not whole by then is dropped. Rejects when it is cut. */
  readonly events: AsyncIterable<ServerEvent>
  /** What the server wants to be waited before a reconnect, in milliseconds; null where it has not said. */
  retryMs(): number | null
}

interface ConnectOptions {
  readonly path: string
  /** Empty for a first connection. */
  readonly lastEventId: string
  /** How long nothing at all may come before the connection counts as cut, in milliseconds. */
  readonly silenceLimitMs: number
  readonly signal?: AbortSignal | undefined
}

/** @returns null where there is nothing more to come (204) */
async function connect(send: Send, options: ConnectOptions): Promise<EventConnection | null> {
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
      // Also when the caller stops reading. It fails where the stream has failed, which is known by then.
      await reader.cancel().catch(() => {})
    }
  }

  return { events: read(body), retryMs: parser.retryMs }
}

/** How many changes of runs there were: over one connection, with which it ends, or throws. */
export async function* watchRuns(
  send: Send,
  { signal }: WatchOptions = {},
): AsyncGenerator<{ readonly changes: number }, void, undefined> {
  const { silenceLimitMs } = watchLimits
  const connection = await connect(send, { path: '/runs/events', lastEventId: '', silenceLimitMs, signal })
  if (connection === null) return
  for await (const { name, data } of connection.events) {
    if (name === 'changes') yield JSON.parse(data) as { readonly changes: number }
  }
}

export interface ServerEvent {
  /** `message` where the server has given it no name. */
  readonly name: string
  readonly data: string
  /** The last one that was sent, with this event or before; empty where none was. */
  readonly lastEventId: string
}

export interface EventParser {
  /** Takes what has come, cut anywhere between two characters; an event is returned when its blank line is in. */
  push(text: string): ServerEvent[]
  /** What the server wants to be waited before a reconnect, in milliseconds; null while it has not said. */
  retryMs(): number | null
}

/** @param lastEventId from an earlier stream of the same events */
export function createEventParser(lastEventId = ''): EventParser {
  let partialLine = ''
  let endedWithReturn = false
  let name = ''
  let data: string[] = []
  let id = lastEventId
  let retryMs: number | null = null

  function takeField(line: string): void {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') data.push(value)
    else if (field === 'event') name = value
    else if (field === 'id' && !value.includes('\0')) id = value
    else if (field === 'retry' && /^\d+$/.test(value)) retryMs = Number(value)
  }

  function dispatch(): ServerEvent[] {
    const events = data.length === 0 ? [] : [{ name: name || 'message', data: data.join('\n'), lastEventId: id }]
    name = ''
    data = []
    return events
  }

  return {
    push(text) {
      // A line that ended with a carriage return was taken as it came: the line feed after it belongs to it.
      const rest = endedWithReturn && text.startsWith('\n') ? text.slice(1) : text
      if (text !== '') endedWithReturn = text.endsWith('\r')
      const [first = '', ...others] = rest.split(/\r\n|\n|\r/)
      const lines = [partialLine + first, ...others]
      partialLine = lines.pop() ?? ''
      return lines.flatMap((line) => {
        if (line === '') return dispatch()
        // A comment, which has no field name.
        if (!line.startsWith(':')) takeField(line)
        return []
      })
    },
    retryMs: () => retryMs,
  }
}
