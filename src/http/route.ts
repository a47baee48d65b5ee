/**
 * A route: data from which the OpenAPI document and the list at `/` are made, and a function that makes its handler; and the
 * headers that requests and responses can have. `router.ts` lists the routes of the files in `routes/`.
 */
import type { IncomingMessage } from 'node:http'
import type { Context, Middleware } from 'koa'
import { z } from 'zod'
import type { Config } from '../config.ts'
import type { LineKeeper } from '../dispatch/line-keeper.ts'
import type { ProblemCode } from '../domain/problems.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Intake } from '../intake/intake.ts'
import type { Log } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { MinuteRecorder } from '../metrics/minutes.ts'
import type { Clock } from '../runtime/clock.ts'
import type { LoopDelay } from '../runtime/event-loop.ts'
import type { Schedules } from '../schedules/schedules.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'
import type { Responder } from './responder.ts'
import type { ReadBody } from './body/read-body.ts'
import type { PathParameters } from './validation.ts'
import type { LongPolls } from './streaming/long-poll.ts'
import type { ChangeStreams, RunStreams } from './streaming/open-streams.ts'
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
 * @param callerScope differs between API keys; empty where there is no key
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
  /** Whether another app has routes at the same place. */
  readonly isHosted: boolean
  /** Whether its requests are the process's own: they need no API key, and their bodies may be of any size. */
  readonly isOwn?: boolean
}

export interface Mount {
  /** Leaves other paths to the next middleware. */
  readonly middleware: Middleware
  /** @param target path and query */
  owns(target: string, incoming: IncomingMessage): boolean
}

/** Parts of the service that routes use. */
export interface ServiceParts {
  readonly config: Config
  readonly store: Store
  readonly registry: Registry
  readonly intake: Intake
  readonly schedules: Schedules
  readonly pool: Pool
  /** Why the process should get no requests now, apart from the store; null when nothing is wrong. */
  readonly trouble: () => string | null
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

/** What a route has at one place where it is mounted. */
export interface HttpDeps extends ServiceParts, MountOptions {
  /** How runs are shown here. */
  readonly view: ViewOptions
  /** All routes that are answered here. */
  readonly routes: readonly Route[]
  readonly readBody: ReadBody
  readonly responder: Responder
  readonly polls: LongPolls
  readonly streams: RunStreams
  readonly changeStreams: ChangeStreams
}

interface Header {
  readonly description: string
  readonly example: string
  readonly schema: z.ZodType
}

const header = (description: string, example: string, schema: z.ZodType = z.string()): Header => ({
  description,
  example,
  schema,
})

const run = '/runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7'
const addressOfRun = z.string().regex(/\/runs\//)
const address = z.string().regex(/\/(?:runs|schedules)\//)

export const requestHeaders = {
  Prefer: header(
    'RFC 7240. `respond-async`: answer 202 at once; `wait=N`: wait at most N seconds, up to 60, then 202, or 304 for a run that has not changed; `return=minimal`: a short body. What is unknown is ignored.',
    'wait=10',
  ),
  'Idempotency-Key': header(
    'A request that is sent again with the same key and body makes no second run; bare or as a quoted string, of 1 to 255 characters.',
    '"b9e8c2a4-1f0d-4c53-9a52-6f0a1f7f3d11"',
  ),
  traceparent: header(
    'W3C Trace Context: the span that asks for the run. Its attempts belong to that trace.',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ),
  'If-None-Match': header('An `ETag` from before: 304 while it still holds.', 'W/"4"'),
  'Last-Event-ID': header(
    'The last `id` that was received, to go on after a cut; the final one is answered with 204.',
    '4',
  ),
} satisfies Record<string, Header>

export const responseHeaders = {
  'Accept-Encoding': header('The codings that a body may have.', 'gzip, identity'),
  Allow: header('The methods of this path.', 'GET, HEAD, OPTIONS'),
  'Cache-Control': header('RFC 9111.', 'no-store'),
  'Content-Location': header('Where the run can be read.', run, addressOfRun),
  ETag: header('RFC 9110; of a run, its version.', 'W/"4"', z.string().regex(/^(?:W\/)?".*"$/)),
  'Idempotency-Replayed': header(
    'The run was made by an earlier request with the same Idempotency-Key.',
    'true',
    z.literal('true'),
  ),
  Link: header(
    'RFC 8288. `rel="monitor"`: the run; `rel="next"`: the next page.',
    `<${run}>; rel="monitor"`,
    z.string().regex(/^<.+>; rel="\w+"$/),
  ),
  Location: header('Where the answer will be, or what was made.', run, address),
  'Preference-Applied': header('The preferences of `Prefer` that were heeded.', 'wait=10'),
  'Retry-After': header('Seconds after which asking again is worth it.', '1', z.string().regex(/^\d+$/)),
  'Server-Timing': header(
    'Milliseconds until the run was committed, and from there to its answer.',
    'commit;dur=0.9, first;dur=12.4',
    z.string().regex(/^commit;dur=[\d.]+(?:, first;dur=[\d.]+)?$/),
  ),
  Vary: header('RFC 9110; `Authorization` in all answers of a service with keys, but for open routes.', 'Accept'),
  'WWW-Authenticate': header('RFC 6750.', 'Bearer', z.string().regex(/^Bearer\b/)),
} satisfies Record<string, Header>

export type RequestHeaderName = keyof typeof requestHeaders
export type ResponseHeaderName = keyof typeof responseHeaders
