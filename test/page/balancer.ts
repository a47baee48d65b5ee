/** A balancer before two versions: every other request for an asset reaches the one that has it under another name alone. */
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Balancer extends AsyncDisposable {
  readonly url: string
  /** Requests for assets that the other version has got. */
  misses(): number
}

export async function startBalancer(target: string): Promise<Balancer> {
  let assets = 0
  let misses = 0
  const server = createServer((incoming, outgoing) => {
    let path = incoming.url ?? '/'
    if (path.startsWith('/assets/') && (assets += 1) % 2 === 1) {
      misses += 1
      path = path.replace(/-[\w-]{8}\./, '-00000000.')
    }
    const { method, headers } = incoming
    const asked = request(new URL(path, target), { ...(method && { method }), headers }, (answer) => {
      const { location } = answer.headers
      const name = (incoming.url ?? '').replace(/\?.*$/, '').split('/').at(-1) ?? ''
      outgoing.writeHead(answer.statusCode ?? 500, {
        ...answer.headers,
        ...(location !== undefined && { location: location.replace(/^[^?]+/, name) }),
      })
      answer.pipe(outgoing)
    })
    asked.on('error', () => outgoing.destroy())
    outgoing.on('close', () => asked.destroy())
    incoming.pipe(asked)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    misses: () => misses,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
