/**
 * One response that is a stream of events. It never holds more than one event for its client: while the client takes
 * nothing, the newest state of the run replaces the one before, and everything else is dropped.
 */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../domain/run.ts'
import { comment, retryField } from './run-event.ts'
import { createProgressTeller, type SampleProgress } from './run-progress.ts'

export interface EventStream {
  /** Begins to write; what was told before is not lost. */
  start(): void
  /** The run has changed. After a final state the response ends. */
  tellRun(run: RunRecord): void
  /** Ends the response after what has been told. */
  end(): void
  /** To be called every so often: for progress, comments, and clients that are gone. @returns whether it lives on */
  attend(sample: SampleProgress): boolean
}

/** In milliseconds. */
export interface StreamTiming {
  /** Between two comments, which keep a connection in use and find out that it is broken. */
  readonly commentMs: number
  /** After this a client is cut off that takes nothing of what waits for it; it can connect again. */
  readonly stuckMs: number
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
  const tellProgress = createProgressTeller(tellNow)
  let rest: Buffer = Buffer.from(retryField(retryMs))
  let newest: RunRecord | null = null
  let toldLast: RunRecord | null = null
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
      toldLast = newest
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

  function tellNow(text: string): boolean {
    if (!takesMore || isEnding) return false
    rest = Buffer.from(text)
    flush()
    return true
  }

  return {
    start() {
      response.on('drain', takeMore)
      // Whoever goes away while something is written: the response closes, and that is enough.
      response.on('error', () => {})
      takeMore()
    },
    tellRun(run) {
      if (isEnding) return
      newest = run
      flush()
    },
    end() {
      isEnding = true
      flush()
    },
    attend(sample) {
      const now = performance.now()
      const { socket } = response.req
      if (stuckSince !== null && now - stuckSince > stuckMs) socket.destroy()
      if (socket.destroyed) return false
      if (toldLast !== null) tellProgress(sample(toldLast))
      if (now >= commentAt) {
        tellNow(comment)
        commentAt = now + commentMs
      }
      return true
    },
  }
}
