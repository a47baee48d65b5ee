/** An app of somebody else's that has the service below `/jobs`, and that can be away for a while. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { create } from '../library/instance.ts'

export interface PageHost extends AsyncDisposable {
  readonly url: string
  /** Cuts every connection and takes no more. */
  pause(): Promise<void>
  /** At the same address. */
  resume(): Promise<void>
}

export async function startHost(): Promise<PageHost> {
  await using stack = new AsyncDisposableStack()
  const tasksDir = fileURLToPath(new URL('../fixtures/page-tasks/', import.meta.url))
  const { forerunner } = stack.use(create({ tasksDir, prefix: '/jobs' }))
  await forerunner.start()
  const server = createServer(forerunner.handler())
  const owned = stack.move()

  async function listen(port: number): Promise<number> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  async function pause(): Promise<void> {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  }

  const port = await listen(0)
  return {
    url: `http://127.0.0.1:${port}`,
    pause,
    async resume() {
      await listen(port)
    },
    async [Symbol.asyncDispose]() {
      await pause()
      await owned.disposeAsync()
    },
  }
}
