/** A proxy between a store and its PostgreSQL, which cuts the connection at a chosen moment. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/**
 * What to do with bytes on their way to the server: pass them on, cut the connection before or after them, or hold
 * them, and everything that the same connection sends later, until they are released.
 */
export type Verdict = 'pass' | 'cut-before' | 'cut-behind' | 'hold'

export interface PostgresProxy extends AsyncDisposable {
  readonly url: string
  /** Judges all bytes that clients send from now on. */
  judge(verdictOn: (bytes: Buffer) => Verdict): void
  /** Passes nothing on any more, in either direction, and keeps the connections open. */
  freeze(): void
  thaw(): void
  letGo(): void
}

/** @param delayMs delay of all bytes to the server, as on a network with that round trip */
export async function startPostgresProxy(url: string, delayMs = 0): Promise<PostgresProxy> {
  const target = new URL(url)
  const sockets = new Set<Socket>()
  let verdictOn: (bytes: Buffer) => Verdict = () => 'pass'
  let isFrozen = false
  const holding = new Set<() => void>()

  const server = createServer((client) => {
    const upstream = connect(Number(target.port), target.hostname)
    let isCut = false
    let held: Buffer[] | null = null
    const pass = (bytes: Buffer): void => {
      if (delayMs === 0) upstream.write(bytes)
      else setTimeout(() => upstream.write(bytes), delayMs)
    }
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
      if (isFrozen) socket.pause()
    }
    client.on('data', (bytes) => {
      if (held !== null) return void held.push(bytes)
      const verdict = verdictOn(bytes)
      if (verdict === 'hold') {
        held = [bytes]
        holding.add(() => {
          for (const waiting of held ?? []) pass(waiting)
          held = null
        })
        return
      }
      if (verdict !== 'cut-before') pass(bytes)
      if (verdict === 'pass') return
      isCut = true
      client.destroy()
      // The server still has to execute what was sent.
      if (verdict === 'cut-behind') upstream.end()
      else upstream.destroy()
    })
    upstream.on('data', (bytes) => {
      if (!isCut) client.write(bytes)
    })
    client.on('close', () => upstream.end())
    upstream.on('close', () => client.end())
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const own = new URL(url)
  own.port = String(port)

  return {
    url: own.href,
    judge(judgement) {
      verdictOn = judgement
    },
    freeze() {
      isFrozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      isFrozen = false
      for (const socket of sockets) socket.resume()
    },
    letGo() {
      for (const release of holding) release()
      holding.clear()
    },
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
