/** A service inside the process of its user: the calls of the client, the routes for a host's server, and its life. */
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

/** The settings of the configuration table in camel case; an address is not among them, for the server is yours. */
export type ForerunnerOptions<Tasks extends TaskMap<Tasks> = AnyTasks> = Partial<Omit<Config, 'host' | 'port'>> & {
  /** Stands before all addresses, such as `/jobs`; default: nothing. */
  readonly prefix?: string
  /** Modules of tasks by their addresses, in place of `tasksDir`. */
  readonly tasks?: TaskModules
  /** Schedules by name, which are there as long as the code says so. */
  readonly schedules?: Readonly<Record<string, Omit<SchedulePutOf<Tasks>, 'paused'>>>
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
  /** The same for `node:http`, Express, Fastify and others that have requests and responses of Node. */
  handler(options?: PlaceOptions): Handler
  /** Every committed change of a run: `events.on('failed', listener)`, or `for await (const event of events)`. */
  readonly events: RunEvents
  /** Short for `runTasks`. */
  readonly run: Client<Tasks>['runTasks']
  /** Resolves when runs are taken. @throws BootError for wrong options, a bad task module or an unusable database */
  start(): Promise<void>
  /** Refuses new runs, lets running jobs end within the grace, hands back the rest, and closes everything. */
  stop(): Promise<void>
}

interface Started {
  readonly app: App
  readonly log: Log
  readonly ask: AskInProcess
}

/** Starts the service, which reports each change together with the log that it writes to. */
export type Begin = (onChange: (change: RunChange, log: Log) => void) => Promise<Omit<Started, 'ask'>>

/**
 * @param begin called once
 * @throws BootError for a prefix that is none, here and where it is mounted
 */
export function embed(begin: Begin, givenPrefix = ''): Forerunner {
  const prefix = parsePrefix(givenPrefix)
  const { events, publish, end } = createRunEvents()
  let starting: Promise<Started> | undefined
  let isStopped = false
  let stopping: Promise<void> | undefined

  function started(): Promise<Started> {
    return starting ?? Promise.reject(new Error('call start() before using Forerunner'))
  }

  async function start(): Promise<Started> {
    const { app, log } = await begin(publish)
    return { app, log, ask: app.connect(prefix) }
  }

  function placeOf(given: PlaceOptions): MountOptions {
    return { prefix: given.prefix === undefined ? prefix : parsePrefix(given.prefix), isHosted: true }
  }

  async function stop(): Promise<void> {
    isStopped = true
    // A start that failed has left nothing to stop, and its caller knows of it.
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
        const [{ app, log }, { createHandler }] = await Promise.all([started(), import('../http/server.ts')])
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

/** @returns it without a slash at its end @throws BootError for what is no prefix of a path */
function parsePrefix(prefix: string): string {
  const bare = prefix.replace(/\/$/, '')
  if (bare === '' || /^(?:\/[\w.~-]+)+$/.test(bare)) return bare
  throw new BootError(
    `the prefix ${prefix} is no path: it has to be like /jobs, of letters, digits, "-", ".", "_" and "~"`,
  )
}

/** Closes everything, also when what was to be handed back could not be. */
export async function leave({ drain, close }: Pick<App, 'drain' | 'close'>): Promise<void> {
  try {
    await drain()
  } finally {
    await close()
  }
}
