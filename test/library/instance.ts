/** Forerunner as a library, with the fixture tasks and in memory unless told otherwise; and Koa apps to mount it in. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import Koa, { type Middleware } from 'koa'
import { createForerunner, type Forerunner, type ForerunnerOptions } from '../../src/index.ts'
import { fixtureTasks } from '../harness/service.ts'

/** The tasks of the default run. */
export const recipe = fileURLToPath(new URL('../fixtures/tasks/recipe/', import.meta.url))

export interface Instance extends AsyncDisposable {
  readonly forerunner: Forerunner
}

/** Not started; stopped when it is disposed of. */
export function create(options: ForerunnerOptions = {}): Instance {
  const forerunner = createForerunner({
    databaseUrl: 'sqlite::memory:',
    ...(options.tasks === undefined && { tasksDir: fixtureTasks }),
    logLevel: 'silent',
    shutdownGraceMs: 0,
    cancelGraceMs: 100,
    // However slow the machine: a first job that overruns its budget would be moved to the pool.
    mainBudgetMs: 10_000,
    ...options,
  })
  return { forerunner, [Symbol.asyncDispose]: () => forerunner.stop() }
}

/** A Koa app with these middlewares, in this order, on a port of its own. */
export async function serve(...middlewares: Middleware[]): Promise<{ readonly url: string } & AsyncDisposable> {
  const app = new Koa()
  app.silent = true
  for (const middleware of middlewares) app.use(middleware)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
