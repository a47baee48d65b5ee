/** Answers to what is no request yet, or none that a route could take: a problem of no type of its own (RFC 9457, 4.2.1). */
import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { STATUS_CODES } from './lazy-http.ts'

export interface Refusal {
  readonly status: number
  readonly detail: string
}

/** The answer and the end of its connection, in turn with the answers before it. */
export function refuse(response: ServerResponse, refusal: Refusal): void {
  const { headers, text } = documentOf(refusal)
  response.writeHead(refusal.status, headers).end(text)
}

/** The same where there is no request to answer. Nothing else must be under way on the socket. */
export function refuseSocket(socket: Duplex, refusal: Refusal): void {
  const { headers, text } = documentOf(refusal)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
  const head = [`HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}`, ...lines, '', ''].join('\r\n')
  socket.write(head + text)
}

function documentOf({ status, detail }: Refusal): { readonly headers: Record<string, string>; readonly text: string } {
  const text = JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail })
  return {
    text,
    headers: {
      'Content-Type': 'application/problem+json',
      'Content-Length': String(Buffer.byteLength(text)),
      'X-Content-Type-Options': 'nosniff',
      'Cache-Control': 'no-store',
      Connection: 'close',
    },
  }
}
