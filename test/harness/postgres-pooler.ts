/** A pooler in transaction mode in front of a PostgreSQL: each transaction gets any free session. */
import { createServer, connect, type AddressInfo, type Socket } from 'node:net'

interface Session {
  readonly socket: Socket
  client: Socket | null
}

const authentication = 'R'
const readyForQuery = 'Z'
const idle = 'I'.charCodeAt(0)
const plainPassword = 3

export interface PostgresPooler extends AsyncDisposable {
  readonly url: string
}

/** @param size number of sessions on the server */
export async function startPostgresPooler(url: string, size: number): Promise<PostgresPooler> {
  const sessions = await Promise.all(Array.from({ length: size }, () => openSession(new URL(url))))
  const waiting: (() => void)[] = []
  const clients = new Set<Socket>()

  /** Passes a message to the client's session, or to the one that was freed last. */
  function pass(client: Socket, bytes: Buffer): void {
    const session = sessions.find((one) => one.client === client) ?? sessions.findLast((one) => one.client === null)
    if (session === undefined) return void waiting.push(() => pass(client, bytes))
    session.client = client
    session.socket.write(bytes)
  }

  for (const session of sessions) {
    session.socket.removeAllListeners('data')
    session.socket.on(
      'data',
      readMessages((type, bytes) => {
        session.client?.write(bytes)
        if (type !== readyForQuery || bytes.at(-1) !== idle) return
        session.client = null
        waiting.shift()?.()
      }),
    )
  }

  const server = createServer((client) => {
    clients.add(client)
    client.on('error', () => {})
    let hasStarted = false
    const read = readMessages((type, bytes) => {
      if (type !== 'X') pass(client, bytes)
    })
    client.on('data', (bytes) => {
      if (hasStarted) return read(bytes)
      hasStarted = true
      client.write(Buffer.concat([message(authentication, int32(0)), message(readyForQuery, Buffer.from('I'))]))
    })
  })
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const own = new URL(url)
  own.port = String((server.address() as AddressInfo).port)

  return {
    url: own.href,
    async [Symbol.asyncDispose]() {
      server.close()
      for (const socket of [...clients, ...sessions.map(({ socket: one }) => one)]) socket.destroy()
    },
  }
}

async function openSession({ port, hostname, username, password, pathname }: URL): Promise<Session> {
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  const names = ['user', username, 'database', pathname.slice(1), ''].map((text) => `${text}\0`).join('')
  const start = Buffer.concat([int32(196_608), Buffer.from(names)])
  socket.write(Buffer.concat([int32(start.length + 4), start]))
  await new Promise<void>((resolve) => {
    socket.on(
      'data',
      readMessages((type, bytes) => {
        const asksPassword = type === authentication && bytes.readInt32BE(5) === plainPassword
        if (asksPassword) socket.write(message('p', Buffer.from(`${password}\0`)))
        if (type === readyForQuery) resolve()
      }),
    )
  })
  return { socket, client: null }
}

/** Calls back with each whole message. */
function readMessages(onMessage: (type: string, bytes: Buffer) => void): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    while (rest.length >= 5 && rest.length > rest.readInt32BE(1)) {
      const length = rest.readInt32BE(1) + 1
      onMessage(String.fromCharCode(rest[0] ?? 0), rest.subarray(0, length))
      rest = rest.subarray(length)
    }
  }
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body])
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
