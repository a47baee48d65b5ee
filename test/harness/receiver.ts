/** A receiver of webhooks with the response of the test's choice: `await using receiver = await startReceiver(respond)`. */
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import type { RunView } from '../../src/http/views/run.ts'
import { until } from './until.ts'

/** A key of 32 bytes. */
export const webhookSecret = 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD0123456789A='

export interface Received {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly event: { readonly type: string; readonly timestamp: string; readonly data: RunView }
}

export type Respond = (response: ServerResponse, request: IncomingMessage, nth: number) => void

export interface Receiver extends AsyncDisposable {
  readonly url: string
  /** In order of arrival. */
  readonly received: readonly Received[]
  /** Resolves when this number of webhooks has arrived. */
  gets(count: number): Promise<readonly Received[]>
}

export const take: Respond = (response) => void response.writeHead(204).end()

/** @param respond called with each complete request; `nth` counts from 0 */
export async function startReceiver(respond: Respond = take): Promise<Receiver> {
  const received: Received[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece))
    request.on('end', () => {
      const { url: path = '', headers } = request
      const nth = received.push({ path, headers, body, event: JSON.parse(body) as Received['event'] }) - 1
      respond(response, request, nth)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    received,
    gets: (count) => until(`${count} webhooks have come`, () => received.length >= count && received),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** @throws unless it was signed with the secret, according to the independent package */
export function verify({ headers, body }: Received, secret = webhookSecret): unknown {
  return new Webhook(secret).verify(body, headers as Record<string, string>)
}
