/** The library's face. Importing it loads neither the server nor the store: threads import it for `defineTask`. */
import type { Middleware } from 'koa'
import type { App } from './app.ts'
import type { Config } from './config.ts'
import { createSend } from './client/transport.ts'
import { createVerbs, type Client } from './client/verbs.ts'
import { BootError } from './domain/errors.ts'
import { nodeIsTooOld } from './process/supported-node.ts'

export type * from './client/client.ts'
export { ProblemError } from './client/problem-error.ts'
export { BootError } from './domain/errors.ts'
export { defineTask, type TaskContext, type TaskDefinition, type TaskLog } from './domain/task.ts'

/** The settings of the configuration table in camel case; an address is not among them, for the server is yours. */
export type ForerunnerOptions = Partial<Omit<Config, 'host' | 'port'>> & {
  /** Called when the store is gone for good; default: throws, so that the process ends and a restart recovers. */
  readonly onLost?: (error: Error) => void
}

/** What can be asked of it is what a client can ask: the same calls, with the same results and the same errors. */
export interface Forerunner extends Client {
  /** All routes, for a Koa app of yours; paths that are not its own go to the next middleware. Start it first. */
  middleware(): Middleware
  /** Short for `runTasks`. */
  readonly run: Client['runTasks']
  /** Resolves when runs are taken. @throws BootError for wrong options, a bad task module or an unusable database */
  start(): Promise<void>
  /** Refuses new runs, lets running jobs end within the grace, hands back the rest, and closes everything. */
  stop(): Promise<void>
}

/** A service inside your own process. Several can live side by side, each with its own database. */
export function createForerunner(options: ForerunnerOptions = {}): Forerunner {
  let starting: Promise<App> | undefined
  let isStopped = false
  let stopping: Promise<void> | undefined

  function started(): Promise<App> {
    return starting ?? Promise.reject(new Error('call start() before using Forerunner'))
  }

  async function start(): Promise<App> {
    const refusal = nodeIsTooOld(process.versions.node)
    if (refusal !== null) throw new BootError(refusal)
    const { onLost = rethrow, ...settings } = options
    const [{ startApp }, { configOf }, { createLog }] = await Promise.all([
      import('./app.ts'),
      import('./config.ts'),
      import('./log.ts'),
    ])
    const config = configOf(settings)
    const app = await startApp({ config, log: createLog(config.logLevel), onLost })
    try {
      await app.loadOnThreads()
    } catch (error) {
      await app.drain()
      await app.close()
      throw error
    }
    return app
  }

  const verbs = createVerbs(
    createSend({ baseUrl: 'http://forerunner', fetch: async (url, init) => (await started()).ask(url, init) }),
    false,
  )

  return {
    ...verbs,
    run: verbs.runTasks,
    middleware: () => async (ctx, next) => {
      const { middleware } = await started()
      return middleware(ctx, next)
    },
    async start() {
      if (isStopped) throw new Error('it was stopped: make a new one')
      starting ??= start()
      await starting
    },
    async stop() {
      isStopped = true
      // A start that failed has left nothing to stop, and its caller knows of it.
      const app = await starting?.catch(() => null)
      stopping ??= app?.drain().then(app.close)
      await stopping
    },
  }
}

function rethrow(error: Error): never {
  throw error
}
