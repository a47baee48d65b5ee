/**
 * One response that is a stream of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html):
 * what all such responses have in common, and the stream of one run.
 */
import type { ServerResponse } from 'node:http'
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'
import type { RunRecord } from '../../domain/run.ts'

export const eventStreamType = 'text/event-stream'

const head = {
  'Content-Type': `${eventStreamType}; charset=utf-8`,
  'Cache-Control': 'no-store',
  // Makes nginx, and proxies that read the same header, pass on each event at once.
  'X-Accel-Buffering': 'no',
}

/** @throws AppError `not-acceptable` */
export function checkAcceptsEvents(ctx: Context): void {
  if (ctx.accepts(eventStreamType) !== false) return
  throw new AppError('not-acceptable', `events are ${eventStreamType}, which the Accept header excludes`)
}

/** Sends the head, which is the whole response to HEAD. */
export function sendEventsHead(ctx: Context): void {
  ctx.status = 200
  ctx.set(head)
  if (ctx.method === 'HEAD') return
  // The stream is not a body of Koa's: Koa reports each client that leaves as an error of the app.
  ctx.respond = false
  ctx.flushHeaders()
}

/** An empty comment, which keeps the connection in use and shows when it is broken. */
export const comment = ':\n\n'

/** In milliseconds. */
export const streamTiming = {
  /** Interval at which streams look for progress, for comments that are due, and for stuck clients. */
  sampleMs: 250,
  /** Interval between two comments. */
  commentMs: 15_000,
  /** A client that reads nothing for this long is cut off. It can connect again. */
  stuckMs: 10_000,
}
export type StreamTiming = typeof streamTiming

/** Bounds the number of open streams. */
export interface StreamQuota {
  /** @returns a function to call when the stream has ended. @throws AppError `too-many-streams` or `shutting-down` */
  take(): () => void
  /** From now on no stream is opened. */
  close(): void
  /** The number of open streams. */
  taken(): number
}

export function createStreamQuota(maxStreams: number): StreamQuota {
  const streams = new Set<symbol>()
  let isClosed = false

  return {
    take() {
      if (isClosed) throw new AppError('shutting-down', 'the service is leaving')
      if (streams.size >= maxStreams) {
        throw new AppError('too-many-streams', `${streams.size} event streams are open, and no more are allowed`)
      }
      const stream = Symbol('stream')
      streams.add(stream)
      return () => void streams.delete(stream)
    },
    close() {
      isClosed = true
    },
    taken: () => streams.size,
  }
}

/** Calls `leave` once the response is closed. A response that is closed already emits no further event. */
export function onceClosed(response: ServerResponse, leave: () => void): void {
  if (response.closed) leave()
  else response.once('close', leave)
}

/** The stream of one run. At most one event waits for the client: a newer state of the run replaces an older one. */
export interface RunStream {
  /** Starts to write. Called once the head is sent; the newest run that `showRun` was given is kept until then. */
  start(): void
  /** Sends the run once the client is ready, unless it was given last time, too. A final state ends the response. */
  showRun(run: RunRecord): void
  /** Ends the response after the last run that `showRun` was given. */
  end(): void
  /** Called every `sampleMs`: sends progress and comments, and cuts off a stuck client. */
  tick(progressOf: (run: RunRecord) => readonly ProgressEvent[]): void
}

export interface ProgressEvent {
  readonly jobIndex: number
  /** Differs between any two events of a job, also if they are of two attempts. */
  readonly key: string
  readonly text: string
}

/** Clients reconnect after a random time, so that a thousand of them do not all come at once. */
const minRetryMs = 2_000
const maxRetryMs = 5_000

/** @param eventOf returns null for a run that cannot be shown: the response ends, and the client can connect again */
export function createRunStream(
  response: ServerResponse,
  eventOf: (run: RunRecord) => Buffer | null,
  { commentMs, stuckMs }: StreamTiming,
): RunStream {
  const writer = createPacedWriter(response, sendNewest)
  const sentProgress = new Map<number, string>()
  /** A run that waits for the client. */
  let newest: RunRecord | null = null
  let lastSent: RunRecord | null = null
  let isEnding = false
  let nextCommentAt = performance.now() + commentMs

  function sendNewest(): void {
    if (newest !== null && writer.isReady()) sendRun(newest)
    if (isEnding && writer.isReady()) writer.end()
  }

  function sendRun(run: RunRecord): void {
    newest = null
    lastSent = run
    // Not before it is written: most runs of a slow client are replaced by newer ones.
    const event = eventOf(run)
    if (event === null || run.state !== 'running') isEnding = true
    if (event !== null) writer.write(event)
  }

  /** @returns false if the client has to read first; nothing is sent or kept then */
  function sendNow(text: string): boolean {
    if (isEnding || !writer.isReady()) return false
    writer.write(Buffer.from(text))
    return true
  }

  /** Sends each event once. Events that cannot be sent now are sent at a later tick, unless newer ones replace them. */
  function sendProgress(events: readonly ProgressEvent[]): void {
    const unsent = events.filter(({ jobIndex, key }) => sentProgress.get(jobIndex) !== key)
    if (unsent.length === 0 || !sendNow(unsent.map(({ text }) => text).join(''))) return
    for (const { jobIndex, key } of unsent) sentProgress.set(jobIndex, key)
  }

  return {
    start() {
      const retryMs = Math.round(minRetryMs + Math.random() * (maxRetryMs - minRetryMs))
      writer.start(`retry: ${retryMs}\n\n`)
    },
    showRun(run) {
      if (isEnding || run === (newest ?? lastSent)) return
      newest = run
      sendNewest()
    },
    end() {
      isEnding = true
      sendNewest()
    },
    tick(progressOf) {
      const now = performance.now()
      if (writer.blockedMs(now) > stuckMs) response.req.socket.destroy()
      if (response.destroyed) return
      if (lastSent !== null) sendProgress(progressOf(lastSent))
      if (now < nextCommentAt) return
      sendNow(comment)
      nextCommentAt = now + commentMs
    },
  }
}

/** A large event is written in pieces: a slow client that reads one after the other is not stuck. */
const maxPieceBytes = 64 * 1024

type WriterState =
  | { readonly name: 'notStarted' }
  | { readonly name: 'ready' }
  /** The client has to read first. Also the state after the end. */
  | { readonly name: 'blocked'; readonly since: number }

/**
 * Writes only as fast as the client reads.
 * @param onReady called when the writer is ready again, with nothing left to write
 */
function createPacedWriter(response: ServerResponse, onReady: () => void) {
  let state: WriterState = { name: 'notStarted' }
  let unwritten: Buffer = Buffer.alloc(0)

  function isReady(): boolean {
    return state.name === 'ready' && !response.destroyed
  }

  function block(): void {
    state = { name: 'blocked', since: performance.now() }
  }

  function write(bytes: Buffer): void {
    unwritten = bytes
    while (unwritten.length > 0 && isReady()) {
      const piece = unwritten.subarray(0, maxPieceBytes)
      unwritten = unwritten.subarray(maxPieceBytes)
      if (!response.write(piece)) block()
    }
  }

  function resume(): void {
    if (response.writableEnded) return
    state = { name: 'ready' }
    write(unwritten)
    onReady()
  }

  return {
    start(firstText: string): void {
      response.on('drain', resume)
      // The client can leave during a write. The response closes then, which is all that matters.
      response.on('error', () => {})
      unwritten = Buffer.from(firstText)
      resume()
    },
    isReady,
    /** Call it only when ready. */
    write,
    end(): void {
      response.end()
      block()
    },
    /** How long the client has not read all that was written; 0 while it has. */
    blockedMs: (now: number): number => (state.name === 'blocked' ? now - state.since : 0),
  }
}
