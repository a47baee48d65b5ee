/** Sends requests to one service. What is no success is thrown: a ProblemError, or what `fetch` itself throws. */
import type { ProblemCode } from '../domain/problems.ts'
import type { ProblemDocument } from '../http/problem.ts'

export interface TransportOptions {
  /** Where the service is, with the path that it is mounted at, if any. */
  readonly baseUrl: string | URL
  /** One of the service's API_KEYS, where it has some. */
  readonly apiKey?: string
  /** Default: the global one. */
  readonly fetch?: (url: URL, init: RequestInit) => Promise<Response>
  /** For requests, replies and events, not for problems. Default: the global one. */
  readonly json?: JsonFormat
}

/** `JSON`, or what loses less of its texts: digits of long numbers, the order of members. */
export interface JsonFormat {
  parse(text: string): unknown
  stringify(value: unknown): string
}

/** `fetch`, or what does the same without a network. */
export type Fetch = (url: URL, init: FetchInit) => Promise<Reply>

interface FetchInit {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body?: string
  readonly signal: AbortSignal | null
}

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Begins with a slash, and goes on from the base. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | Date | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** JSON text. */
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Resolves to a reply of status 2xx or 304. */
export type Send = (ask: Ask) => Promise<Reply>

export function createSend({
  baseUrl,
  apiKey,
  fetch: given,
}: Omit<TransportOptions, 'fetch' | 'json'> & { readonly fetch?: Fetch | undefined }): Send {
  const base = new URL(baseUrl)
  if (!base.pathname.endsWith('/')) base.pathname += '/'
  // Called as a method of something else, the global one throws in browsers.
  const request: Fetch = given ?? ((url, init) => fetch(url, init))

  return async ({ method = 'GET', path, query = {}, headers, body, signal }) => {
    const url = new URL(path.slice(1), base)
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, value instanceof Date ? value.toISOString() : String(value))
    }
    const response = await request(url, {
      method,
      headers: {
        Accept: 'application/json, application/problem+json',
        ...(apiKey !== undefined && { Authorization: `Bearer ${apiKey}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body }),
      signal: signal ?? null,
    })
    if (response.ok || response.status === 304) return response
    throw await readProblem(response)
  }
}

const decided: ReadonlySet<unknown> = new Set<ProblemCode>(['first-task-failed', 'all-tasks-failed', 'tasks-failed'])

/** Whether it is the answer of a run: every further try would get the same. */
export function isDecided(error: unknown): error is ProblemError {
  return error instanceof ProblemError && decided.has(error.code)
}

/** Whether the same request may succeed in a while: nothing was answered, or what was is said to pass. */
export function isPassing(error: unknown): boolean {
  if (isDecided(error)) return false
  const status: unknown = Reflect.get(Object(error), 'status')
  if (status === undefined) return error instanceof TypeError
  return status === 429 || status === 502 || status === 503 || status === 504
}

/** Waiting between two tries. */
const maxPauseMs = 30_000

/** Doubles with each try and is drawn from its upper half, so that clients that failed together part. */
export function jitteredBackOffMs(tries: number, firstMs: number): number {
  const limit = Math.min(maxPauseMs, firstMs * 2 ** (tries - 1))
  return limit / 2 + (Math.random() * limit) / 2
}

/** Rejects with the signal's reason as soon as it is aborted. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
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

/** A response over HTTP, or one from inside the process: as much of it as is read. */
export interface Reply extends Pick<Response, 'ok' | 'status' | 'statusText' | 'url' | 'text' | 'json'> {
  readonly headers: Pick<Headers, 'get'>
  readonly body: { getReader(): ReplyReader } | null
}

export interface ReplyReader {
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>
  cancel(): Promise<void>
}

/** `about:blank`: the answer comes from a proxy or from the HTTP server itself, and is no problem of the service. */
export type ProblemErrorCode = ProblemCode | 'about:blank'

export class ProblemError extends Error {
  /** Stable, and what to decide by; `message` is for people. */
  readonly code: ProblemErrorCode
  readonly status: number
  /** With the members that a problem has of its own: `errors`, `error`, `jobs`, `jobIndex`. */
  readonly problem: ProblemDocument
  /** Of the run that was accepted all the same, where there is one: its other jobs go on. */
  readonly runId: string | undefined
  /** Seconds after which trying again is worth it; null where the answer does not say. */
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

/** Behind the prefix that the service may have. */
const typePattern = /^(?:\/[\w.~-]+)*\/problems\/(?<code>[a-z-]+)$/
/** Of a body that is no problem, what a person needs to recognise it. */
const maxDetailLength = 500

/** Reads an answer whose status says that it is no success. */
export async function readProblem(response: Omit<Reply, 'body'>): Promise<ProblemError> {
  const text = await response.text()
  const after = response.headers.get('Retry-After')
  const retryAfterS = after !== null && /^\d+$/.test(after) ? Number(after) : null
  const isProblem = response.headers.get('Content-Type')?.startsWith('application/problem+json') === true
  const problem = isProblem ? parseProblem(text) : undefined
  return new ProblemError(problem ?? unknownProblem(response, text), retryAfterS)
}

function parseProblem(text: string): ProblemDocument | undefined {
  try {
    const value: unknown = JSON.parse(text)
    const { type, title, status, detail } = Object(value) as Partial<ProblemDocument>
    const hasForm = typeof title === 'string' && typeof status === 'number' && typeof type === 'string'
    // The service is trusted to keep to its contract, as with every other answer.
    return hasForm ? ({ ...Object(value), detail: detail ?? title } as ProblemDocument) : undefined
  } catch {
    return undefined
  }
}

function unknownProblem({ status, statusText, url }: Omit<Reply, 'body'>, text: string): ProblemDocument {
  const title = statusText === '' ? `HTTP status ${status}` : statusText
  return { type: 'about:blank', title, status, detail: text.slice(0, maxDetailLength), instance: url }
}

function codeOf({ type }: ProblemDocument): ProblemErrorCode {
  // A newer service may have more codes than this client knows.
  return (typePattern.exec(type)?.groups?.['code'] as ProblemCode | undefined) ?? 'about:blank'
}
