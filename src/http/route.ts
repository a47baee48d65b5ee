/**
 * A route: data from which the OpenAPI document and the list at `/` are made, and a function that makes its handler.
 * Each route is a file in `routes/`; `route-table.ts` lists them.
 */
import type { Context } from 'koa'
import type { z } from 'zod'
import type { Config } from '../config.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ProblemCode } from '../domain/problems.ts'
import type { LineKeeper } from '../dispatch/line-keeper.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { LoopDelay } from '../runtime/event-loop.ts'
import type { MinuteRecorder } from '../metrics/minutes.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Schedules } from '../schedules/schedules.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import type { Answers } from './answers.ts'
import type { BodyParser } from './body/body-parser.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { ChangeStreams } from './streaming/change-streams.ts'
import type { EventStreams } from './streaming/event-streams.ts'
import type { LongPolls } from './streaming/long-poll.ts'
import type { PathParameters } from './requested-runs.ts'
import type { RequestHeaderName, ResponseHeaderName } from './openapi/headers.ts'
import type { ViewOptions } from './views/job.ts'

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With its parameters in braces: `/runs/{id}`. */
  readonly path: string
  readonly operationId: string
  /** Continues "POST /run-tasks …". */
  readonly summary: string
  readonly description?: string
  /** Routes of `runs` are not served by a process that only runs jobs. */
  readonly area: 'runs' | 'service'
  readonly query?: NamedSchemas
  readonly headers?: readonly RequestHeaderName[]
  /** Absent where the route takes none. */
  readonly body?: { readonly json: NamedSchemas; readonly example: unknown }
  readonly responses: readonly RouteResponse[]
  /** Parts of its responses that have a name in the document. */
  readonly schemas?: NamedSchemas
  /** In addition to those that every route can have. */
  readonly problems: readonly ProblemCode[]
  /** Needs no API key where there are some. */
  readonly isOpen?: true
  /** Called once for each place where the routes are mounted. */
  create(deps: HttpDeps): Handle
}

/**
 * A problem is thrown as AppError.
 * @param callerScope tells the holders of API keys apart; empty where there is no key
 */
export type Handle = (ctx: Context, params: PathParameters, callerScope: string) => void | Promise<void>

/** Under the names that they have in the document, or in a query. */
export type NamedSchemas = Readonly<Record<string, z.ZodType>>

export interface RouteResponse {
  readonly status: 200 | 201 | 202 | 204 | 304
  readonly description: string
  /** Forms that the JSON body can have. With `mediaType` the body is text; with neither there is none. */
  readonly json?: NamedSchemas
  readonly mediaType?: string | readonly string[]
  readonly example?: unknown
  /** Always sent with this response. */
  readonly headers?: readonly ResponseHeaderName[]
  /** Sent where they apply. */
  readonly mayHave?: readonly ResponseHeaderName[]
}

/** Every problem that the route can respond with. */
export function problemsOf({ method, isOpen, problems }: Route): ProblemCode[] {
  return [
    ...(isOpen === true ? [] : (['unauthorized'] as const)),
    ...(method === 'GET' ? [] : (['read-only-key', 'cross-site'] as const)),
    ...problems,
    'internal',
  ]
}

/** Where the routes are in the address space of a host. */
export interface MountOptions {
  /** Stands before the path of each route, and in each address that is given out; empty, or such as `/jobs`. */
  readonly prefix: string
  /** Whether the routes stand beside those of another app. */
  readonly isHosted: boolean
  /** Whether its requests are the process's own: they need no API key, and their bodies may be of any size. */
  readonly isOwn?: boolean
}

/** What routes use of the rest of the service. */
export interface HttpDeps extends MountOptions {
  readonly config: Config
  readonly store: Store
  readonly registry: Registry
  readonly intake: Intake
  readonly schedules: Schedules
  readonly pool: Pool
  /** Why the process should get no requests now, beside what the store says; null when nothing is wrong. */
  readonly trouble: () => string | null
  /** How runs are shown here. */
  readonly view: ViewOptions
  /** All routes that are answered here. */
  readonly routes: readonly Route[]
  readonly answers: Answers
  readonly bodyParser: BodyParser
  /** For bodies that are received, and of requests that are answered. */
  readonly bodyBudget: ByteBudget
  readonly polls: LongPolls
  readonly streams: EventStreams
  readonly changeStreams: ChangeStreams
  /** What tasks have logged and the store does not have yet. */
  readonly lines: Pick<LineKeeper, 'flush'>
  readonly loopDelay: LoopDelay
  /** What tasks did in the minute that is not over. */
  readonly minutes: Pick<MinuteRecorder, 'current'>
  readonly metrics: Metrics
  /** A delivery was made due on request. */
  readonly onDeliveryDue: () => void
  readonly clock: Clock
  readonly log: Log
}
