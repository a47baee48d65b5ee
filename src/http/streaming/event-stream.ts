/**
 * One response that is a stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html). It never
 * holds more than one event for its client: while the client takes nothing, the newest state of the run replaces the one
 * before, and everything else is dropped.
 */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../../domain/run.ts'
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'

export interface EventStream {
  /** Begins to write, when the head of the response is out; a run that was shown before is not lost. */
  start(): void
  /** After a final state the response ends. */
  showRun(run: RunRecord): void
  /** Ends the response after the run that was shown last. */
  end(): void
  /** To be called every so often: for progress, comments, and clients that are gone. @returns whether it lives on */
  attend(progressOf: (run: RunRecord) => readonly ProgressEvent[]): boolean
}

export interface ProgressEvent {
  readonly jobIndex: number
  /** Differs between two events of a job, of two attempts too. */
  readonly key: string
  readonly text: string
}

/** A large event goes out in pieces: a slow client that takes one after the other is not stuck. */
const maxPieceBytes = 64 * 1024
/** When a client may connect again: a thousand must not all do so at once. */
const minRetryMs = 2_000
const maxRetryMs = 5_000

/** @param eventOf null for a run that cannot be shown: the response ends, and its client can ask again */
export function createEventStream(
  response: ServerResponse,
  eventOf: (run: RunRecord) => Buffer | null,
  { commentMs, stuckMs }: StreamTiming,
): EventStream {
  const retryMs = Math.round(minRetryMs + Math.random() * (maxRetryMs - minRetryMs))
  const sentProgress = new Map<number, string>()
  let rest: Buffer = Buffer.from(`retry: ${retryMs}\n\n`)
  let newest: RunRecord | null = null
  let lastSent: RunRecord | null = null
  let commentAt = performance.now() + commentMs
  let takesMore = false
  /** Since when something waits that the client does not take. */
  let stuckSince: number | null = null
  let isEnding = false

  function nextPiece(): Buffer {
    if (rest.length === 0 && newest !== null) {
      const event = eventOf(newest)
      rest = event ?? rest
      if (event === null || newest.state !== 'running') isEnding = true
      lastSent = newest
      newest = null
    }
    const piece = rest.subarray(0, maxPieceBytes)
    rest = rest.subarray(maxPieceBytes)
    return piece
  }

  function flush(): void {
    while (takesMore && !response.destroyed) {
      const piece = nextPiece()
      if (piece.length === 0 && !isEnding) return
      if (piece.length === 0) response.end()
      else if (response.write(piece)) continue
      takesMore = false
      stuckSince = performance.now()
    }
  }

  function takeMore(): void {
    if (response.writableEnded) return
    takesMore = true
    stuckSince = null
    flush()
  }

  function sendNow(text: string): boolean {
    if (!takesMore || isEnding) return false
    rest = Buffer.from(text)
    flush()
    return true
  }

  /** Once each; what the client does not take now waits for the next time. */
  function sendProgress(events: readonly ProgressEvent[]): void {
    const unsent = events.filter(({ jobIndex, key }) => sentProgress.get(jobIndex) !== key)
    if (unsent.length === 0 || !sendNow(unsent.map(({ text }) => text).join(''))) return
    for (const { jobIndex, key } of unsent) sentProgress.set(jobIndex, key)
  }

  return {
    start() {
      response.on('drain', takeMore)
      // Of a client that goes away while something is written: the response closes, and that is enough.
      response.on('error', () => {})
      takeMore()
    },
    showRun(run) {
      if (isEnding) return
      newest = run
      flush()
    },
    end() {
      isEnding = true
      flush()
    },
    attend(progressOf) {
      const now = performance.now()
      const { socket } = response.req
      if (stuckSince !== null && now - stuckSince > stuckMs) socket.destroy()
      if (socket.destroyed) return false
      if (lastSent !== null) sendProgress(progressOf(lastSent))
      if (now >= commentAt) {
        sendNow(comment)
        commentAt = now + commentMs
      }
      return true
    },
  }
}

/** What all responses that are streams of events have in common: their media type, their head, and their number. */
export const eventStreamType = 'text/event-stream'

const head = {
  'Content-Type': `${eventStreamType}; charset=utf-8`,
  'Cache-Control': 'no-store',
  // Tells nginx, and proxies that do the same, to pass each event on.
  'X-Accel-Buffering': 'no',
}

/** @throws AppError `not-acceptable` */
export function checkTakesEvents(ctx: Context): void {
  if (ctx.accepts(eventStreamType) !== false) return
  throw new AppError('not-acceptable', `events are ${eventStreamType}, which the Accept header excludes`)
}

/** Sends the head; for HEAD it is all. */
export function sendEventsHead(ctx: Context): void {
  ctx.status = 200
  ctx.set(head)
  if (ctx.method === 'HEAD') return
  // Not as a body of Koa's: it reports every client that goes away as an error of the app.
  ctx.respond = false
  ctx.flushHeaders()
}

export const comment = ':\n\n'

/** In milliseconds. */
export const streamTiming = {
  /** Between two looks for what is to be sent. */
  sampleMs: 250,
  /** Between two comments, which keep a connection in use and find out that it is broken. */
  commentMs: 15_000,
  /** After this a client is cut off that takes nothing of what waits for it; it can connect again. */
  stuckMs: 10_000,
}
export type StreamTiming = typeof streamTiming

export interface StreamRoom {
  /** @returns a function that gives the place back. @throws AppError `too-many-streams` or `shutting-down` */
  take(): () => void
  /** From now on there is no room. */
  close(): void
  /** Places that are taken. */
  size(): number
}

export function createStreamRoom(maxStreams: number): StreamRoom {
  const places = new Set<symbol>()
  let isClosed = false

  return {
    take() {
      if (isClosed) throw new AppError('shutting-down', 'the service is leaving')
      if (places.size >= maxStreams) {
        throw new AppError('too-many-streams', `${places.size} event streams are open, and no more are allowed`)
      }
      const place = Symbol('place')
      places.add(place)
      return () => void places.delete(place)
    },
    close() {
      isClosed = true
    },
    size: () => places.size,
  }
}
