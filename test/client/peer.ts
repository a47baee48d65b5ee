/** A server that follows a script, for what a real service does only when its network or its host fails. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export type Step = (response: ServerResponse, request: IncomingMessage) => void

export interface Peer extends AsyncDisposable {
  readonly url: string
  readonly seen: readonly SeenRequest[]
}

/** @param steps one for each request, in order; the last one is for all that follow */
export async function startPeer(...steps: readonly [Step, ...Step[]]): Promise<Peer> {
  const seen: SeenRequest[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = '', url = '', headers } = request
      seen.push({ method, path: url, headers, body })
      const step = steps[Math.min(seen.length, steps.length) - 1]
      step?.(response, request)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Closes the connection without an answer. */
export const cut: Step = (_response, request) => request.socket.destroy()

/** Never answers. */
export const ignore: Step = () => {}

export function answerWith(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Step {
  const type = status < 400 ? 'application/json' : 'application/problem+json'
  return (response) => void response.writeHead(status, { 'Content-Type': type, ...headers }).end(JSON.stringify(body))
}

/** Answers with these bytes of a stream of events, and then ends it, cuts it off, or leaves it open. */
export function stream(bytes: string, then: 'end' | 'cut' | 'stay'): Step {
  return (response, request) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    if (then === 'end') response.end(bytes)
    // Cut off only when it is out, for what is still here would be lost with the connection.
    else response.write(bytes, () => then === 'cut' && setImmediate(() => request.socket.destroy()))
  }
}
