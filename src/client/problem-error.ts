/** A refusal or failure that the service, or something in front of it, has answered with. */
import type { ProblemCode } from '../domain/problems.ts'
import type { ProblemDocument } from '../http/problem.ts'

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
