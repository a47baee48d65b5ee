/** Requests as bytes, for what fetch does not send as it is told. */
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

const limitMs = 20_000

export function open(url: string): Socket {
  const { hostname, port } = new URL(url)
  return connect(Number(port), hostname)
}

/** Sends one request and reads what is answered until the connection is closed. The body comes as it is given. */
export async function exchange(
  url: string,
  requestLine: string,
  headers: Readonly<Record<string, string>> = {},
  body: string | Buffer = '',
): Promise<Response> {
  const socket = open(url)
  const lines = Object.entries({ Host: new URL(url).host, Connection: 'close', ...headers })
  const head = [`${requestLine} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
  socket.write(Buffer.concat([Buffer.from(head), Buffer.from(body)]))
  // A server that does not answer is to fail the test and not to hold it up.
  socket.setTimeout(limitMs, () => socket.destroy(new Error(`${requestLine}: no answer in ${limitMs} ms`)))
  const answer = await text(socket)
  socket.destroy()
  return parse(answer)
}

/** A body in one chunk (RFC 9112, 7.1), to be sent with `Transfer-Encoding: chunked`. */
export function chunked(body: string): string {
  const bytes = Buffer.byteLength(body)
  return bytes === 0 ? '0\r\n\r\n' : `${bytes.toString(16)}\r\n${body}\r\n0\r\n\r\n`
}

function parse(answer: string): Response {
  const [head = '', ...rest] = answer.split('\r\n\r\n')
  const [statusLine = '', ...lines] = head.split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  const status = Number(statusLine.split(' ')[1])
  return new Response(status === 304 || status === 204 ? null : rest.join('\r\n\r\n'), { status, headers })
}
