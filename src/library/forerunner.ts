/** A service inside the user's process: the client's calls, routes for the host's server, start and stop. */
import type { Middleware } from 'koa'
import type { App } from '../app.ts'
import type { AnyTasks, SchedulePutOf, TaskMap } from '../client/run-tasks.ts'
import { createTransport, type Fetch } from '../client/transport.ts'
import { type Client, createCalls } from '../client/calls.ts'
import type { Config } from '../config.ts'
import { BootError } from '../domain/errors.ts'
import type { RunChange } from '../domain/run.ts'
import type { Handler } from '../http/server.ts'
import type { AskInProcess } from '../http/in-process.ts'
import type { MountOptions } from '../http/route.ts'
import type { Log, Logger } from '../log.ts'
import type { TaskModules } from '../tasks/registry.ts'
import { createRunEvents, type RunEvents } from './events.ts'

/** The settings of the configuration table in camel case, except the address, because the server is yours. */
export type ForerunnerOptions<Tasks extends TaskMap<Tasks> = AnyTasks> = Partial<Omit<Config, 'host' | 'port'>> & {
  /** Precedes all paths, such as `/jobs`; default: nothing. */
  readonly prefix?: string
  /** Addresses of task modules, instead of `tasksDir`. */
  readonly tasks?: TaskModules
  /** Schedules by name; only the code can replace or remove them. */
  readonly schedules?: Readonly<Record<string, Omit<SchedulePutOf<Tasks>, 'paused'>>>
  /** Gets the log lines instead of standard output. Its own level applies. */
  readonly logger?: Logger
  /** Called when the store is lost for good. Default: throws, so that the process ends and a restart recovers the jobs. */
  readonly onLost?: (error: Error) => void
}

export interface PlaceOptions {
  /** Default: the prefix of the service. */
  readonly prefix?: string
}

/** Has the calls of a client, with the same results and errors. */
export interface Forerunner<Tasks extends TaskMap<Tasks> = AnyTasks> extends Client<Tasks>, AsyncDisposable {
  /**
   * The routes for your Koa app. Other paths go to the next middleware; without a prefix, so do `/`, `/metrics`, `/livez`
   * and `/readyz`.
   */
  middleware(options?: PlaceOptions): Middleware
  /** The same for `node:http`, Express, Fastify and others with Node's requests and responses. */
  handler(options?: PlaceOptions): Handler
  /** Every committed change of a run: `events.on('failed', listener)`, or `for await (const event of events)`. */
  readonly events: RunEvents
  /** The same as `runTasks`. */
  readonly run: Client<Tasks>['runTasks']
  /** Resolves when runs are accepted. @throws BootError for invalid options, a bad task module or an unusable database */
  start(): Promise<void>
  /** Refuses new runs, lets running jobs end within the grace, releases the others, and closes everything. */
  stop(): Promise<void>
}

interface Started {
  readonly app: App
  readonly log: Log
  readonly ask: AskInProcess
}

/** Starts the service. It reports each change together with its log. */
export type StartService = (onChange: (change: RunChange, log: Log) => void) => Promise<Omit<Started, 'ask'>>

/**
 * @param startService called once
 * @throws BootError for an invalid prefix; `middleware` and `handler` throw it, too
 */
export function embed(startService: StartService, givenPrefix = ''): Forerunner {
  const prefix = parsePrefix(givenPrefix)
  const { events, publish, end } = createRunEvents()
  let starting: Promise<Started> | undefined
  let isStopped = false
  let stopping: Promise<void> | undefined

  function started(): Promise<Started> {
    return starting ?? Promise.reject(new Error('call start() before using Forerunner'))
  }

  async function start(): Promise<Started> {
    const { app, log } = await startService(publish)
    return { app, log, ask: app.connect(prefix) }
  }

  function mountOptions(given: PlaceOptions): MountOptions {
    return { prefix: given.prefix === undefined ? prefix : parsePrefix(given.prefix), isHosted: true }
  }

  async function stop(): Promise<void> {
    isStopped = true
    // A failed start has left nothing to stop, and its caller got the error.
    const app = (await starting?.catch(() => null))?.app
    stopping ??= app && leave(app)
    try {
      await stopping
    } finally {
      end()
    }
  }

  const fetch: Fetch = async (url, init) => (await started()).ask(url, init)
  const transport = createTransport({ baseUrl: `http://forerunner${prefix}`, fetch, isRemote: false })
  const calls = createCalls(transport, async (definition) => (await started()).app.nameOf(definition))

  return {
    ...calls,
    events,
    run: calls.runTasks,
    middleware(given = {}) {
      const mount = mountOptions(given)
      let middleware: Middleware | undefined
      return async (ctx, next) => {
        const { app } = await started()
        middleware ??= app.mount(mount).middleware
        return middleware(ctx, next)
      }
    },
    handler(given = {}) {
      const mount = mountOptions(given)
      let handle: Handler | undefined
      async function make(): Promise<Handler> {
        const [{ app, log }, { createHandler }] = await Promise.all([started(), import('../http/server.ts')])
        return (handle ??= createHandler(app.mount(mount), mount.prefix, log))
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

/** @returns the prefix without a slash at its end @throws BootError if it is no valid path */
function parsePrefix(prefix: string): string {
  const bare = prefix.replace(/\/$/, '')
  if (bare === '' || /^(?:\/[\w.~-]+)+$/.test(bare)) return bare
  throw new BootError(
    `the prefix ${prefix} is no path: it has to be like /jobs, of letters, digits, "-", ".", "_" and "~"`,
  )
}

/** Closes the app even if its jobs could not be released. */
export async function leave({ drain, close }: Pick<App, 'drain' | 'close'>): Promise<void> {
  try {
    await drain()
  } finally {
    await close()
  }
}
