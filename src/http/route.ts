/**
 * What a route is: a description, from which the OpenAPI document and the list at `/` are made, and a function that creates
 * its handler. Also the headers of requests and responses. `router.ts` lists all routes.
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
  /** With parameters in braces: `/runs/{id}`. */
  readonly path: string
  readonly operationId: string
  /** Predicate of a sentence whose subject is the route: "POST /run-tasks `runs tasks`". */
  readonly summary: string
  readonly description?: string
  /** A process that only runs jobs does not serve `runs`. */
  readonly area: 'runs' | 'service'
  readonly query?: NamedSchemas
  readonly headers?: readonly RequestHeaderName[]
  /** Absent: the route ignores bodies. */
  readonly body?: { readonly json: NamedSchemas; readonly example: unknown }
  readonly responses: readonly RouteResponse[]
  /** Parts of the responses that have a name of their own in the OpenAPI document. */
  readonly schemas?: NamedSchemas
  /** Its own problems. `problemsOf` adds those that follow from the other members, such as `unauthorized`. */
  readonly problems: readonly ProblemCode[]
  /** The route needs no API key even if keys are configured. */
  readonly isOpen?: true
  /** Called once for each place where the routes are mounted. */
  create(dependencies: RouteDependencies): Handle
}

/**
 * Handles a request.
 * @param callerScope differs between API keys; empty without a key
 * @throws AppError, which becomes a problem
 */
export type Handle = (ctx: Context, params: PathParameters, callerScope: string) => void | Promise<void>

/** By name: of a schema in the OpenAPI document, or of a parameter in a query. */
export type NamedSchemas = Readonly<Record<string, z.ZodType>>

export interface RouteResponse {
  readonly status: 200 | 201 | 202 | 204 | 304
  readonly description: string
  /** The body is JSON of one of these schemas. With `mediaType` instead it is text; with neither there is no body. */
  readonly json?: NamedSchemas
  readonly mediaType?: string | readonly string[]
  readonly example?: unknown
  /** Always sent with this response. */
  readonly headers?: readonly ResponseHeaderName[]
  /** Sent if they apply. */
  readonly mayHave?: readonly ResponseHeaderName[]
}

/** A response with status 200 and a JSON body. */
export function jsonResponse(description: string, json: NamedSchemas, example: unknown): RouteResponse {
  return { status: 200, description, json, example, headers: ['Cache-Control'] }
}

const bodyProblems: readonly ProblemCode[] = [
  'malformed-json',
  'content-too-large',
  'unsupported-media-type',
  'body-already-read',
  'validation-error',
]

/** All problems that the route can respond with. */
export function problemsOf({ method, isOpen, body, problems }: Route): ProblemCode[] {
  return [
    ...(isOpen === true ? [] : (['unauthorized'] as const)),
    ...(method === 'GET' ? [] : (['read-only-key', 'cross-site'] as const)),
    ...(body === undefined ? [] : bodyProblems),
    ...problems,
    'internal',
  ]
}

/** A place where the routes are mounted. */
export interface MountOptions {
  /** Comes before the path of each route, also in links of responses; empty, or for example `/jobs`. */
  readonly prefix: string
  /** Whether a host app has routes of its own at this place. */
  readonly isHosted: boolean
  /** Whether all requests come from inside the process: they need no API key, and their bodies have no limit. */
  readonly isInProcess?: boolean
}

export interface Mount {
  /** Passes other paths on to the next middleware. */
  readonly middleware: Middleware
  /** Whether the middleware handles the request. @param target path and query */
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
  /** The reason why the process should get no requests at the moment, apart from the store; null: none. */
  readonly trouble: () => string | null
  /** Log lines of tasks that are not in the store yet. */
  readonly lines: Pick<LineKeeper, 'flush'>
  readonly loopDelay: LoopDelay
  /** What tasks did in the current minute. */
  readonly minutes: Pick<MinuteRecorder, 'current'>
  readonly metrics: Metrics
  /** Call it when a delivery was made due on request. */
  readonly noteDeliveryDue: () => void
  readonly clock: Clock
  readonly log: Log
}

/** What the routes at one place use. */
export interface RouteDependencies extends ServiceParts, MountOptions {
  readonly view: ViewOptions
  /** The routes that the OpenAPI document and the list at `/` have at this place. */
  readonly documentedRoutes: readonly Route[]
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

function header(description: string, example: string, schema: z.ZodType = z.string()): Header {
  return { description, example, schema }
}

/** `Retry-After` of a running run: seconds after which it may have changed. */
export const retryAfterOfRun = '1'
const run = '/runs/01a2071d-0a4a-7200-89ea-c1db971bb6b7'
const addressOfRun = z.string().regex(/\/runs\//)
const address = z.string().regex(/\/(?:runs|schedules)\//)

export const requestHeaders = {
  Prefer: header(
    'RFC 7240. `respond-async`: answer 202 at once; `wait=N`: wait at most N seconds, up to 60, then 202, or 304 for a run that has not changed; `return=minimal`: a short body. Unknown preferences are ignored.',
    'wait=10',
  ),
  'Idempotency-Key': header(
    'A request that is repeated with the same key and body makes no second run. 1 to 255 characters, bare or as a quoted string.',
    '"b9e8c2a4-1f0d-4c53-9a52-6f0a1f7f3d11"',
  ),
  traceparent: header(
    'W3C Trace Context: the span that asks for the run. Its attempts belong to that trace.',
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
  ),
  'If-None-Match': header('An `ETag` of an earlier response: 304 while nothing has changed.', 'W/"4"'),
  'Last-Event-ID': header(
    'The last `id` that was received before the connection was lost. 204 if it is the final one.',
    '4',
  ),
} satisfies Record<string, Header>

export const responseHeaders = {
  'Accept-Encoding': header('The codings that a body may have.', 'gzip, identity'),
  Allow: header('The methods that this path supports.', 'GET, HEAD, OPTIONS'),
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
  'Preference-Applied': header('The preferences of `Prefer` that were applied.', 'wait=10'),
  'Retry-After': header('Seconds to wait before the next request.', '1', z.string().regex(/^\d+$/)),
  'Server-Timing': header(
    'Milliseconds until the run was committed, and from there to its answer.',
    'commit;dur=0.9, first;dur=12.4',
    z.string().regex(/^commit;dur=[\d.]+(?:, first;dur=[\d.]+)?$/),
  ),
  Vary: header('RFC 9110; includes `Authorization` if API keys are configured, except on open routes.', 'Accept'),
  'WWW-Authenticate': header('RFC 6750.', 'Bearer', z.string().regex(/^Bearer\b/)),
} satisfies Record<string, Header>

export type RequestHeaderName = keyof typeof requestHeaders
export type ResponseHeaderName = keyof typeof responseHeaders
