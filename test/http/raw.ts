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

/**
 * Sends bytes as they are, one piece after the other, and reads until the server closes; so the last request has to ask
 * for that, or be refused.
 * @returns everything that was answered, as text
 */
export async function sendBytes(url: string, ...pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = open(url)
  socket.setNoDelay()
  socket.setTimeout(limitMs, () => socket.destroy(new Error(`no answer in ${limitMs} ms`)))
  const answer = text(socket)
  for (const piece of pieces) await new Promise((resolve) => socket.write(piece, resolve))
  return answer
}

/** The answers in a connection's text, in their order. Each body has a Content-Length. */
export function answersOf(received: string): Response[] {
  const answers: Response[] = []
  let rest = Buffer.from(received)
  while (rest.length > 0) {
    const head = rest.subarray(0, rest.indexOf('\r\n\r\n') + 4)
    const length = Number(/^content-length: (\d+)/im.exec(head.toString())?.[1] ?? 0)
    const isInterim = head.toString().startsWith('HTTP/1.1 1')
    if (!isInterim) answers.push(parse(rest.subarray(0, head.length + length).toString()))
    rest = rest.subarray(head.length + (isInterim ? 0 : length))
  }
  return answers
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
