/** A run as it changes, over as many connections as it takes. */
import type { RunView } from '../http/views/run.ts'
import type { ProgressView } from '../http/views/job.ts'
import { connect, type EventConnection } from './event-connection.ts'
import type { ServerEvent } from './event-parser.ts'
import { backOffMs, pause } from './pause.ts'
import { ProblemError } from './problem-error.ts'
import { isPassing, type Send } from './transport.ts'

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
        const news = newsOf(event)
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
    await pause(Math.max(afterMs, backOffMs(failures, retryMs ?? firstPauseMs)), signal)
  }
}

function newsOf({ name, data }: ServerEvent): WatchEvent | null {
  if (name === 'run') return { type: 'run', run: JSON.parse(data) as RunView }
  if (name === 'progress') return { type: 'progress', ...(JSON.parse(data) as ProgressView) }
  return null
}
