/**
 * Requests that come behind each other on one connection (pipelined) are handled one after the other. Node would begin
 * them all, and hold all their answers for a client that reads none.
 */
import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Log } from '../log.ts'

/**
 * Calls `handle` when the answers before this one on its connection have been taken by the operating system, which it
 * does as the client reads. A connection on which too many wait is cut off: Node goes on reading requests from it.
 */
export type QueueRequest = (response: ServerResponse, handle: () => void) => void

interface Waiting {
  readonly response: ServerResponse
  readonly handle: () => void
}

/** Requests of one connection, beside the one that is being answered. */
const maxWaiting = 64

export function createRequestQueue(log: Log): QueueRequest {
  /** Of connections on which a request is being answered. */
  const queues = new WeakMap<Duplex, Waiting[]>()

  function handleNow(socket: Duplex, { response, handle }: Waiting): void {
    response.once('close', () => handleNext(socket))
    handle()
  }

  function handleNext(socket: Duplex): void {
    const next = queues.get(socket)?.shift()
    if (next === undefined || socket.destroyed) queues.delete(socket)
    // It was refused meanwhile, because of what came behind it.
    else if (next.response.closed || next.response.headersSent) handleNext(socket)
    else handleNow(socket, next)
  }

  return (response, handle) => {
    const { socket } = response.req
    const queue = queues.get(socket)
    if (queue === undefined) {
      queues.set(socket, [])
      handleNow(socket, { response, handle })
    } else if (queue.length < maxWaiting) {
      queue.push({ response, handle })
    } else {
      log.debug({ waiting: queue.length }, 'a connection was cut off on which too many requests wait')
      socket.destroy()
    }
  }
}
