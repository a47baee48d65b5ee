/**
 * Streams that say that runs were accepted or have changed, and how many times, not which: a reader asks for what it
 * shows. A change costs an addition; an event carries a number and no runs.
 */
import type { ServerResponse } from 'node:http'
import { comment, type StreamRoom, streamTiming, type StreamTiming } from './event-stream.ts'

export interface ChangeStreams {
  /** A run was accepted, or has changed. */
  note(): void
  /**
   * Takes a place until the response is over.
   * @returns a function that begins to write when the head of the response is out
   * @throws AppError `too-many-streams` or `shutting-down`
   */
  open(response: ServerResponse): { start(): void }
  close(): void
}

export interface ChangeStreamsOptions {
  readonly room: StreamRoom
  readonly timing?: Partial<StreamTiming>
}

const retryMs = 3_000

interface Client {
  readonly response: ServerResponse
  /** Changes that it has not been sent. */
  pending: number
  sentAt: number
}

export function createChangeStreams({ room, timing }: ChangeStreamsOptions): ChangeStreams {
  const { sampleMs, commentMs, stuckMs } = { ...streamTiming, ...timing }
  const clients = new Set<Client>()
  let ticker: NodeJS.Timeout | undefined
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
      const leaveRoom = room.take()
      const client: Client = { response, pending: 0, sentAt: performance.now() }
      function leave(): void {
        clients.delete(client)
        leaveRoom()
        if (clients.size === 0) clearInterval(ticker)
      }
      function start(): void {
        // A client that goes away while something is written: the response closes, and that is enough.
        response.on('error', () => {})
        if (clients.size === 0) {
          changes = 0
          ticker = setInterval(tick, sampleMs).unref()
        }
        clients.add(client)
        response.write(`retry: ${retryMs}\n\n${changesEvent(0)}`)
      }
      response.once('close', leave)
      // One that went away before does not say so again.
      if (response.closed) leave()
      return { start: response.closed ? () => {} : start }
    },
    close() {
      room.close()
      for (const { response } of clients) response.end()
    },
  }
}

function changesEvent(changes: number): string {
  return `event: changes\ndata: {"changes":${changes}}\n\n`
}
