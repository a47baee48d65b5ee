/** Server-sent events: watches a run over as many connections as it takes, and parses the stream. */
import type { ProgressView } from '../http/views/job.ts'
import type { RunView } from '../http/views/run.ts'
import { isTemporary, jitteredBackOffMs, type JsonFormat, ProblemError, sleep, type Transport } from './transport.ts'

/** The run is whole, except that a result above 16 KiB is replaced by `resultBytes`. */
export type WatchEvent =
  | { readonly type: 'run'; readonly run: RunView }
  | ({ readonly type: 'progress' } & ProgressView)

export interface WatchOptions {
  readonly signal?: AbortSignal
}

export interface WatchSettings {
  /** Tries in a row that may bring no event. One more ends the watch with an error. */
  readonly maxFailures: number
  /** The wait before the first reconnect, unless the service sets another. Doubled with each further failure. */
  readonly firstPauseMs: number
  /** Whether the service may set the wait before a reconnect. */
  readonly heedsServer: boolean
  /** A connection that brings nothing for this long counts as cut. The service sends something every 15 s. */
  readonly silenceLimitMs: number
}

export const remoteSettings: WatchSettings = {
  maxFailures: 10,
  firstPauseMs: 1_000,
  heedsServer: true,
  silenceLimitMs: 45_000,
}

/** Within the process, a stream breaks only if its reader is slow or the service stops. One more try finds out which. */
const localSettings: WatchSettings = { ...remoteSettings, maxFailures: 1, firstPauseMs: 1, heedsServer: false }

/** Yields the current run first and ends after its final state. States in between may be left out. */
export async function* watch(
  transport: Transport,
  id: string,
  { signal }: WatchOptions = {},
  settings: WatchSettings = transport.isRemote ? remoteSettings : localSettings,
): AsyncGenerator<WatchEvent, void, undefined> {
  const { maxFailures, firstPauseMs, heedsServer, silenceLimitMs } = settings
  const path = `/runs/${encodeURIComponent(id)}/events`
  let lastEventId = ''
  let version = 0
  let failures = 0
  let retryMs = firstPauseMs
  const onRetry = (ms: number): void => {
    if (heedsServer) retryMs = ms
  }

  for (;;) {
    let failure: unknown = new TypeError('the stream ended before the run')
    try {
      const events = await connect(transport, { path, lastEventId, silenceLimitMs, signal, onRetry })
      if (events === null) return
      for await (const event of events) {
        failures = 0
        lastEventId = event.lastEventId
        const update = watchEventOf(event, transport.json)
        if (update?.type !== 'run') {
          if (update !== null) yield update
          continue
        }
        const { run } = update
        // Each connection starts with the current run, which may have been yielded before.
        if (run.version > version) {
          version = run.version
          yield update
        }
        if (run.state !== 'running') return
      }
    } catch (error) {
      if (!isTemporary(error)) throw error
      failure = error
    }
    failures += 1
    if (failures > maxFailures) throw failure
    const retryAfterMs = failure instanceof ProblemError ? (failure.retryAfterS ?? 0) * 1_000 : 0
    await sleep(Math.max(retryAfterMs, jitteredBackOffMs(failures, retryMs)), signal)
  }
}

/** @returns null for an event of a kind that this client does not know */
function watchEventOf({ name, data }: ServerEvent, json: JsonFormat): WatchEvent | null {
  if (name === 'run') return { type: 'run', run: json.parse(data) as RunView }
  if (name === 'progress') return { type: 'progress', ...(JSON.parse(data) as ProgressView) }
  return null
}

/** Yields the number of changes of runs, over a single connection. Ends or throws when the connection does. */
export async function* watchRuns(
  transport: Transport,
  { signal }: WatchOptions = {},
): AsyncGenerator<{ readonly changes: number }, void, undefined> {
  const { silenceLimitMs } = remoteSettings
  const events = await connect(transport, { path: '/runs/events', silenceLimitMs, signal })
  if (events === null) return
  for await (const { name, data } of events) {
    if (name === 'changes') yield JSON.parse(data) as { readonly changes: number }
  }
}

interface ConnectOptions extends ParserOptions {
  readonly path: string
  readonly silenceLimitMs: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens one connection to a stream of events.
 * @returns the events, which end with the stream and throw when it is cut or silent; null if nothing follows (204)
 */
async function connect({ send }: Transport, options: ConnectOptions): Promise<AsyncIterable<ServerEvent> | null> {
  const { path, lastEventId = '', silenceLimitMs, signal } = options
  const silence = new AbortController()
  // Reported like a cut by the network, which is the most likely reason.
  const giveUp = (): void => silence.abort(new TypeError(`nothing came for ${silenceLimitMs} ms`))
  // Runs while the response or its next bytes are awaited, not while the caller handles an event.
  let timer = setTimeout(giveUp, silenceLimitMs)
  const headers = { Accept: 'text/event-stream', ...(lastEventId !== '' && { 'Last-Event-ID': lastEventId }) }
  const ended = signal === undefined ? silence.signal : AbortSignal.any([signal, silence.signal])

  const { status, body } = await send({ path, headers, signal: ended }).finally(() => clearTimeout(timer))
  if (status === 204 || body === null) return null

  async function* read(stream: NonNullable<typeof body>): AsyncGenerator<ServerEvent> {
    const parse = createEventParser(options)
    const reader = stream.getReader()
    // Drops a byte order mark, as the standard requires.
    const decoder = new TextDecoder()
    try {
      for (;;) {
        timer = setTimeout(giveUp, silenceLimitMs)
        const { done, value } = await reader.read().finally(() => clearTimeout(timer))
        if (done) return
        yield* parse(decoder.decode(value, { stream: true }))
      }
    } finally {
      // Also reached when the caller stops reading. It rejects only after the stream has failed, which is thrown already.
      await reader.cancel().catch(() => {})
    }
  }

  return read(body)
}

export interface ServerEvent {
  /** `message` if the server has not named the event. */
  readonly name: string
  readonly data: string
  /** The id of this event, or of the last one before it that had an id; empty if none had. */
  readonly lastEventId: string
}

interface ParserOptions {
  /** The last id of an earlier connection to the same stream. Default: empty. */
  readonly lastEventId?: string
  /** Called when the server sets the wait before a reconnect, in milliseconds. */
  readonly onRetry?: (ms: number) => void
}

/** @returns a function that takes the next piece of the text, cut anywhere, and returns the events that it completes */
export function createEventParser({ lastEventId: id = '', onRetry = () => {} }: ParserOptions = {}): (
  text: string,
) => ServerEvent[] {
  let lastEventId = id
  let partialLine = ''
  let endedWithReturn = false
  let name = ''
  let data: string[] = []

  function takeField(line: string): void {
    const colon = line.indexOf(':')
    const field = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'data') data.push(value)
    else if (field === 'event') name = value
    else if (field === 'id' && !value.includes('\0')) lastEventId = value
    else if (field === 'retry' && /^\d+$/.test(value)) onRetry(Number(value))
  }

  function endEvent(): ServerEvent[] {
    const events = data.length === 0 ? [] : [{ name: name || 'message', data: data.join('\n'), lastEventId }]
    name = ''
    data = []
    return events
  }

  return (text) => {
    // A carriage return has ended its line already. A line feed that follows it belongs to the same line end.
    const rest = endedWithReturn && text.startsWith('\n') ? text.slice(1) : text
    if (text !== '') endedWithReturn = text.endsWith('\r')
    const [first = '', ...others] = rest.split(/\r\n|\n|\r/)
    const lines = [partialLine + first, ...others]
    partialLine = lines.pop() ?? ''
    return lines.flatMap((line) => {
      if (line === '') return endEvent()
      const isComment = line.startsWith(':')
      if (!isComment) takeField(line)
      return []
    })
  }
}
