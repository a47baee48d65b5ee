/**
 * Sends requests to one service. Every response but a success is thrown as a ProblemError; a request that gets no response
 * throws what `fetch` throws.
 */
import type { ProblemCode } from '../domain/problems.ts'
import type { ProblemDocument } from '../http/problem.ts'

export interface TransportOptions {
  /** The address of the service, with the path that it is mounted at, if any. */
  readonly baseUrl: string | URL
  /** One of the service's API_KEYS. */
  readonly apiKey?: string
  /** Default: the global `fetch`. */
  readonly fetch?: (url: URL, init: RequestInit) => Promise<Response>
  /** Used for requests, responses and events, but not for problems. Default: the global `JSON`. */
  readonly json?: JsonFormat
}

/** `JSON`, or a format that keeps more of a text: the digits of long numbers, the order of members. */
export interface JsonFormat {
  parse(text: string): unknown
  stringify(value: unknown): string
}

/** The part of `fetch` that is used, so that a service in the same process can stand in for it. */
export type Fetch = (
  url: URL,
  init: { method: string; headers: Record<string, string>; body?: string; signal: AbortSignal | null },
) => Promise<ServiceResponse>

export interface ServiceResponse extends Pick<Response, 'ok' | 'status' | 'statusText' | 'url' | 'text' | 'json'> {
  readonly headers: Pick<Headers, 'get'>
  readonly body: { getReader(): BodyReader } | null
}

export interface BodyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

export interface ServiceRequest {
  /** Default: GET. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Starts with a slash; appended to the base URL. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | Date | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Transport {
  /** Resolves to a response with a status of 2xx or 304. @throws ProblemError for any other status */
  send(request: ServiceRequest): Promise<ServiceResponse>
  /** Sends the request and parses the body of the response, which has the form that the HTTP contract states. */
  read<Body>(request: ServiceRequest): Promise<Body>
  readonly json: JsonFormat
  /** Whether requests and responses can get lost, because the service is not in this process. */
  readonly isRemote: boolean
}

type AnyTransportOptions = Omit<TransportOptions, 'fetch'> & {
  readonly fetch?: Fetch | undefined
  /** Default: true. */
  readonly isRemote?: boolean
}

export function createTransport(options: AnyTransportOptions): Transport {
  const { baseUrl, apiKey, json = JSON, isRemote = true } = options
  const base = new URL(baseUrl)
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  // Browsers throw when the global `fetch` is called as a method of another object.
  const callFetch: Fetch = options.fetch ?? ((url, init) => fetch(url, init))

  async function send(request: ServiceRequest): Promise<ServiceResponse> {
    const { method = 'GET', path, query = {}, headers, body, signal = null } = request
    const url = new URL(path.slice(1), base)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value))
    }
    const response = await callFetch(url, {
      method,
      headers: {
        Accept: 'application/json, application/problem+json',
        ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body }),
      signal,
    })
    if (response.ok || response.status === 304) return response
    throw await readProblem(response)
  }

  async function read<Body>(request: ServiceRequest): Promise<Body> {
    const response = await send(request)
    return json.parse(await response.text()) as Body
  }

  return { send, read, json, isRemote }
}

/** `about:blank`: a proxy or the HTTP server itself has responded, and the response is no problem of the service. */
export type ProblemErrorCode = ProblemCode | 'about:blank'

/** A refusal or failure, with which the service or something in front of it has responded. */
export class ProblemError extends Error {
  /** Stable: programs decide by it. `message` is for people. */
  readonly code: ProblemErrorCode
  readonly status: number
  /** The whole problem, with its own members: `errors`, `error`, `jobs`, `jobIndex`. */
  readonly problem: ProblemDocument
  /** The run that was accepted although the request failed, if any. Its other jobs go on. */
  readonly runId: string | undefined
  /** Seconds to wait before the next try; null if the response does not say. */
  readonly retryAfterS: number | null

  constructor(problem: ProblemDocument, retryAfterS: number | null) {
    super(`${problem.title}: ${problem.detail}`)
    this.name = 'ProblemError'
    this.code = codeOf(problem)
    this.status = problem.status
    this.problem = problem
    this.runId = problem.runId
    this.retryAfterS = retryAfterS
  }
}

/** Allows for the prefix that the service may have. */
const typePattern = /^(?:\/[\w.~-]+)*\/problems\/(?<code>[a-z-]+)$/
/** How much is shown of a body that is no problem, so that a person recognises it. */
const maxDetailLength = 500

/** Reads a response with an error status. */
async function readProblem(response: Omit<ServiceResponse, 'body'>): Promise<ProblemError> {
  const { status, statusText, url, headers } = response
  const text = await response.text()
  const retryAfter = headers.get('Retry-After') ?? ''
  const isProblem = headers.get('Content-Type')?.startsWith('application/problem+json') === true
  const problem = (isProblem ? parseProblem(text) : null) ?? {
    type: 'about:blank',
    title: statusText === '' ? `HTTP status ${status}` : statusText,
    status,
    detail: text.slice(0, maxDetailLength),
    instance: url,
  }
  return new ProblemError(problem, /^\d+$/.test(retryAfter) ? Number(retryAfter) : null)
}

function parseProblem(text: string): ProblemDocument | null {
  try {
    const value: unknown = JSON.parse(text)
    const { type, title, status, detail } = Object(value) as Partial<ProblemDocument>
    const hasForm = typeof title === 'string' && typeof status === 'number' && typeof type === 'string'
    // The service is trusted to keep its contract, as in every other response.
    return hasForm ? ({ ...Object(value), detail: detail ?? title } as ProblemDocument) : null
  } catch {
    return null
  }
}

function codeOf({ type }: ProblemDocument): ProblemErrorCode {
  // A newer service may have more codes than this client knows.
  return (typePattern.exec(type)?.groups?.['code'] as ProblemCode | undefined) ?? 'about:blank'
}

const answerCodes: ReadonlySet<unknown> = new Set<ProblemCode>([
  'first-task-failed',
  'all-tasks-failed',
  'tasks-failed',
])

/** Whether the error is the answer of a run. Every further try would get the same answer. */
export function isAnswer(error: unknown): error is ProblemError {
  return error instanceof ProblemError && answerCodes.has(error.code)
}

/** Whether the same request may succeed later: the connection failed, or the status says that the failure is temporary. */
export function isTemporary(error: unknown): boolean {
  if (isAnswer(error)) return false
  const status: unknown = Reflect.get(Object(error), 'status')
  // `fetch` throws a TypeError when the connection fails.
  if (status === undefined) return error instanceof TypeError
  return status === 429 || status === 502 || status === 503 || status === 504
}

const maxBackOffMs = 30_000

/** Doubles with each try. Half of it is random, so that clients that failed together do not come back together. */
export function jitteredBackOffMs(tries: number, firstMs: number): number {
  const limit = Math.min(maxBackOffMs, firstMs * 2 ** (tries - 1))
  return limit / 2 + (Math.random() * limit) / 2
}

/** Rejects with the signal's reason as soon as it is aborted. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  const onAbort = (): void => reject(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
}
