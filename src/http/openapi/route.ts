/** What the table of routes says of each: data alone, from which the OpenAPI document and the root page are made. */
import type { z } from 'zod'
import type { ProblemCode } from '../../domain/errors.ts'
import type { AnswerSchemaName } from './answer-schemas.ts'
import type { RequestHeaderName, ResponseHeaderName } from './headers.ts'

export interface QueryParameter {
  readonly schema: z.ZodType
  readonly description?: string
}

export interface Answer {
  readonly status: 200 | 202 | 204 | 304
  readonly description: string
  /** The form of a JSON body, one of these; text of a `mediaType`, or of one of them; or no body where both are absent. */
  readonly json?: readonly [AnswerSchemaName, ...AnswerSchemaName[]]
  readonly mediaType?: string | readonly string[]
  readonly example?: unknown
  /** Always sent with this answer. */
  readonly headers?: readonly ResponseHeaderName[]
  /** Sent where they apply. */
  readonly mayHave?: readonly ResponseHeaderName[]
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** With its parameters in braces: `/runs/{id}`. */
  readonly path: string
  readonly operationId: string
  /** Continues "POST /run-tasks …". */
  readonly summary: string
  readonly description?: string
  readonly area: 'runs' | 'service'
  readonly query?: Readonly<Record<string, QueryParameter>>
  readonly headers?: readonly RequestHeaderName[]
  /** An example of the JSON body, whose form is that of a run's request; absent where there is none to send. */
  readonly bodyExample?: unknown
  readonly answers: readonly Answer[]
  /** Beside those that every route can have. */
  readonly problems: readonly ProblemCode[]
  /** Needs no API key where there are some. */
  readonly isOpen?: true
}

/** Everything that the route can answer with and is no success. */
export function problemsOf({ method, isOpen, problems }: Route): ProblemCode[] {
  return [
    ...(isOpen === true ? [] : (['unauthorized'] as const)),
    ...(method === 'GET' ? [] : (['read-only-key', 'cross-site'] as const)),
    ...problems,
    'internal',
  ]
}
