/**
 * Streams that say that runs were accepted or have changed, and how many times, not which: a reader asks for what it
 * shows. A change costs an addition, and an event is one text for all streams, however many changes there were.
 */
import type { ServerResponse } from 'node:http'
import { AppError } from '../../domain/errors.ts'

export interface ChangeStreams {
  /** A run was accepted, or has changed. */
  note(): void
  /** Begins to write to a response whose head is out, until it is over. */
  open(response: ServerResponse): void
  /** @throws AppError `too-many-streams` or `shutting-down` */
  checkRoom(): void
  close(): void
  size(): number
}

export interface ChangeStreamsOptions {
  readonly maxStreams: number
  /** Streams of single runs, which share the bound. */
  readonly otherStreams: () => number
  readonly timing?: Partial<typeof defaultTiming>
}

const defaultTiming = {
  /** Between two events. */
  sampleMs: 250,
  commentMs: 15_000,
  /** After this a client is cut off that takes nothing of what was sent. */
  stuckMs: 10_000,
}
const retryMs = 3_000
const comment = ':\n\n'

interface Client {
  readonly response: ServerResponse
  /** Changes that it has not been sent. */
  pending: number
  sentAt: number
}

export function createChangeStreams({ maxStreams, otherStreams, timing }: ChangeStreamsOptions): ChangeStreams {
  const { sampleMs, commentMs, stuckMs } = { ...defaultTiming, ...timing }
  const clients = new Set<Client>()
  let ticker: NodeJS.Timeout | undefined
  let isClosed = false
  let changes = 0

  function tick(): void {
    const now = performance.now()
    for (const client of clients) {
      client.pending += changes
      attend(client, now)
    }
    changes = 0
  }

  function attend(client: Client, now: number): void {
    const { response, pending } = client
    // What it has not taken yet is followed by one event for everything since.
    if (response.writableNeedDrain) {
      if (now - client.sentAt > stuckMs) response.destroy()
      return
    }
    if (pending === 0 && now - client.sentAt < commentMs) return
    response.write(pending === 0 ? comment : changesEvent(pending))
    client.pending = 0
    client.sentAt = now
  }

  return {
    note() {
      changes += 1
    },
    open(response) {
      const client: Client = { response, pending: 0, sentAt: performance.now() }
      response.once('close', () => {
        clients.delete(client)
        if (clients.size === 0) clearInterval(ticker)
      })
      // A client that goes away while something is written: the response closes, and that is enough.
      response.on('error', () => {})
      if (clients.size === 0) {
        changes = 0
        ticker = setInterval(tick, sampleMs).unref()
      }
      clients.add(client)
      response.write(`retry: ${retryMs}\n\n${changesEvent(0)}`)
    },
    checkRoom() {
      if (isClosed) throw new AppError('shutting-down', 'the service is leaving')
      const open = clients.size + otherStreams()
      if (open >= maxStreams) {
        throw new AppError('too-many-streams', `${open} event streams are open, and no more are allowed`)
      }
    },
    close() {
      isClosed = true
      for (const { response } of clients) response.end()
    },
    size: () => clients.size,
  }
}

function changesEvent(changes: number): string {
  return `event: changes\ndata: {"changes":${changes}}\n\n`
}
