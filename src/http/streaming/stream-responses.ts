/** What all responses that are streams of events have in common: their media type, their head, and their number. */
import type { Context } from 'koa'
import { AppError } from '../../domain/errors.ts'

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
