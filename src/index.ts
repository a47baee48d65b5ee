/** The library's face. Importing it loads neither the server nor the store: threads import it for `defineTask`. */
import type { Middleware } from 'koa'
import type { App } from './app.ts'
import type { Config } from './config.ts'
import type { Handler } from './http/handler.ts'
import type { AskInProcess } from './http/in-process.ts'
import { parsePrefix, type MountOptions } from './http/mount.ts'
import type { Log, Logger } from './log.ts'
import type { AnyTasks, TaskMap } from './client/named-tasks.ts'
import { createSend, type Fetch } from './client/transport.ts'
import { createVerbs, type Client } from './client/verbs.ts'
import { BootError } from './domain/errors.ts'
import { nodeIsTooOld } from './process/supported-node.ts'
import type { TaskModules } from './tasks/task-modules.ts'

export type * from './client/client.ts'
export { ProblemError } from './client/problem-error.ts'
export { BootError } from './domain/errors.ts'
export type { Handler, Logger, TaskModules }
export type { TaskContext, TaskDefinition, TaskLog } from './domain/task.ts'
export { defineTask, type DefinedTask } from './domain/task-call.ts'

/** The settings of the configuration table in camel case; an address is not among them, for the server is yours. */
export type ForerunnerOptions = Partial<Omit<Config, 'host' | 'port'>> & {
  /** Stands before all addresses, such as `/jobs`; default: nothing. */
  readonly prefix?: string
  /** Modules of tasks by their addresses, in place of `tasksDir`. */
  readonly tasks?: TaskModules
  /** Takes the lines of the log in place of standard output; its own level counts. */
  readonly logger?: Logger
  /** Called when the store is gone for good; default: throws, so that the process ends and a restart recovers. */
  readonly onLost?: (error: Error) => void
}

export interface PlaceOptions {
  /** Default: that of the service. */
  readonly prefix?: string
}

/** What can be asked of it is what a client can ask: the same calls, with the same results and the same errors. */
export interface Forerunner<Tasks extends TaskMap<Tasks> = AnyTasks> extends Client<Tasks>, AsyncDisposable {
  /**
   * The routes for a Koa app of yours; paths that are not its own go to the next middleware. Without a prefix, `/`,
   * `/metrics`, `/livez` and `/readyz` are yours.
   */
  middleware(options?: PlaceOptions): Middleware
  /** The same for `node:http`, Express, Fastify and whatever else has requests and responses of Node. */
  handler(options?: PlaceOptions): Handler
  /** Short for `runTasks`. */
  readonly run: Client<Tasks>['runTasks']
  /** Resolves when runs are taken. @throws BootError for wrong options, a bad task module or an unusable database */
  start(): Promise<void>
  /** Refuses new runs, lets running jobs end within the grace, hands back the rest, and closes everything. */
  stop(): Promise<void>
}

/**
 * A service inside your own process. Several can live side by side, each with its own database.
 * @throws BootError for a prefix that is none, here and where it is mounted
 */
export function createForerunner<Tasks extends TaskMap<Tasks> = AnyTasks>(
  options?: ForerunnerOptions,
): Forerunner<Tasks>
export function createForerunner(options: ForerunnerOptions = {}): Forerunner {
  const { onLost = rethrow, prefix: givenPrefix = '', logger, tasks, ...settings } = options
  const prefix = parsePrefix(givenPrefix)
  let starting: Promise<Started> | undefined
  let isStopped = false
  let stopping: Promise<void> | undefined

  function started(): Promise<Started> {
    return starting ?? Promise.reject(new Error('call start() before using Forerunner'))
  }

  async function start(): Promise<Started> {
    const refusal = nodeIsTooOld(process.versions.node)
    if (refusal !== null) throw new BootError(refusal)
    const [{ startApp }, { configOf, doubtsAbout, optionName }, { adaptLogger, createLog }] = await Promise.all([
      import('./app.ts'),
      import('./config.ts'),
      import('./log.ts'),
    ])
    if (tasks !== undefined && settings.tasksDir !== undefined) throw new BootError('give tasks or tasksDir, not both')
    const config = configOf(settings)
    const log = logger === undefined ? createLog(config.logLevel) : adaptLogger(logger)
    for (const doubt of doubtsAbout(config, optionName)) log.warn(doubt)
    const app = await startApp({ config, ...(tasks && { tasks }), log, onLost })
    try {
      await app.loadOnThreads()
    } catch (error) {
      await app.drain()
      await app.close()
      throw error
    }
    return { app, log, ask: app.connect(prefix) }
  }

  function placeOf(given: PlaceOptions): MountOptions {
    return { prefix: given.prefix === undefined ? prefix : parsePrefix(given.prefix), isHosted: true }
  }

  async function stop(): Promise<void> {
    isStopped = true
    // A start that failed has left nothing to stop, and its caller knows of it.
    const app = (await starting?.catch(() => null))?.app
    stopping ??= app?.drain().then(app.close)
    await stopping
  }

  const fetch: Fetch = async (url, init) => (await started()).ask(url, init)
  const verbs = createVerbs(createSend({ baseUrl: `http://forerunner${prefix}`, fetch }), false, async (definition) =>
    (await started()).app.nameOf(definition),
  )

  return {
    ...verbs,
    run: verbs.runTasks,
    middleware(given = {}) {
      const place = placeOf(given)
      let middleware: Middleware | undefined
      return async (ctx, next) => {
        const { app } = await started()
        middleware ??= app.mount(place).middleware
        return middleware(ctx, next)
      }
    },
    handler(given = {}) {
      const place = placeOf(given)
      let handle: Handler | undefined
      async function make(): Promise<Handler> {
        const [{ app, log }, { createHandler }] = await Promise.all([started(), import('./http/handler.ts')])
        return (handle ??= createHandler(app.mount(place), place.prefix, log))
      }
      return (incoming, response, next) => {
        if (handle !== undefined) return handle(incoming, response, next)
        const refuse = (error: Error): void => void response.writeHead(503).end(error.message)
        void make().then((made) => made(incoming, response, next), next ?? refuse)
      }
    },
    async start() {
      if (isStopped) throw new Error('it was stopped: make a new one')
      starting ??= start()
      await starting
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

interface Started {
  readonly app: App
  readonly log: Log
  readonly ask: AskInProcess
}

function rethrow(error: Error): never {
  throw error
}
