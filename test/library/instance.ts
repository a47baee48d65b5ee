/** Forerunner as a library, with the fixture tasks and in memory unless told otherwise; and Koa apps to mount it in. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import Koa, { type Middleware } from 'koa'
import { createForerunner, type Forerunner, type ForerunnerOptions } from 'forerunner'
import { fixtureTasks } from '../harness/service.ts'
import { shareByOptions } from '../harness/share.ts'
import { until } from '../harness/until.ts'

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

const lend = shareByOptions(startOne, removeRuns, (forerunner) => forerunner.stop())

/** Started, and the same for all tests that ask for it. It has no run, and nobody stops it. */
export async function share(options: ForerunnerOptions = {}): Promise<Instance> {
  const { value: forerunner, ...scoped } = await lend(options)
  return { forerunner, ...scoped }
}

async function startOne(options: ForerunnerOptions): Promise<Forerunner> {
  const { forerunner } = create(options)
  await forerunner.start()
  return forerunner
}

async function removeRuns(forerunner: Forerunner): Promise<void> {
  await until('every run is removed', async () => {
    await forerunner.cancelRuns({ state: 'running' })
    const { runs } = await forerunner.listRuns({ pageSize: 500 })
    await Promise.allSettled(runs.map(({ id }) => forerunner.remove(id)))
    return runs.length === 0
  })
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
