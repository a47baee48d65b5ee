/** The responses of an operation: its successes, and its problems by status. */
import { failureStatuses } from '../../domain/answer.ts'
import { problems, type ProblemCode } from '../../domain/problems.ts'
import type { Answer, NamedSchemas } from '../route.ts'
import { jsonSchema, problemSchemaName, refTo, type JsonObject } from './components.ts'
import { responseHeaders, type ResponseHeaderName } from './headers.ts'

export function success({ description, json, mediaType, example, headers = [], mayHave = [] }: Answer): JsonObject {
  return {
    description,
    headers: headerObjects(headers, mayHave),
    ...(json !== undefined && { content: jsonContent(json, example) }),
    ...(mediaType !== undefined && { content: textContent([mediaType].flat(), example) }),
  }
}

/** JSON of one of these forms. */
export function jsonContent(schemas: NamedSchemas, example: unknown): JsonObject {
  const refs = Object.keys(schemas).map((name) => refTo('schemas', name))
  return { 'application/json': { schema: refs.length > 1 ? { anyOf: refs } : refs[0], example } }
}

function textContent(types: readonly string[], example: unknown): JsonObject {
  const schema = { type: types[0] === 'application/json' ? 'object' : 'string' }
  const content = { schema, ...(example !== undefined && { example }) }
  return Object.fromEntries(types.map((type) => [type, content]))
}

/** By status. A status can stand for several problems. */
export function problemResponses(codes: readonly ProblemCode[]): JsonObject {
  const byStatus = Map.groupBy(codes, (code) => String(problems[code].status))
  if (codes.includes('first-task-failed')) {
    // A failed first task may answer with a status of its own.
    for (const status of failureStatuses.map(String)) {
      byStatus.set(status, [...(byStatus.get(status) ?? []), 'first-task-failed'])
    }
  }
  return Object.fromEntries([...byStatus].map(([status, own]) => [status, problemResponse(own)]))
}

/** Several problems that share a status: a header that not all of them have is not required. */
function problemResponse(codes: readonly ProblemCode[]): JsonObject {
  const schemas = codes.map((code) => refTo('schemas', problemSchemaName(code)))
  const all = codes.map(problemHeaders)
  const names = new Set(all.flatMap(({ always, perhaps }) => [...always, ...perhaps]))
  const required = [...names].filter((name) => all.every(({ always }) => always.includes(name)))
  const schema = schemas.length > 1 ? { oneOf: schemas } : schemas[0]
  const examples = Object.fromEntries(codes.map((code) => [code, refTo('examples', code)]))
  return {
    description: codes.map((code) => `\`${code}\`: ${problems[code].meaning}`).join('\n\n'),
    headers: headerObjects(
      required,
      [...names].filter((name) => !required.includes(name)),
    ),
    content: { 'application/problem+json': { schema, examples } },
  }
}

/** Those that it always has, and those that it has where they apply. */
function problemHeaders(code: ProblemCode): Record<'always' | 'perhaps', ResponseHeaderName[]> {
  const { retryAfterS, members = [], mayHave = [] } = problems[code]
  const isAnswer = members.includes('jobIndex')
  return {
    always: [
      'Cache-Control',
      ...(code === 'unauthorized' ? (['WWW-Authenticate'] as const) : []),
      ...(retryAfterS === undefined ? [] : (['Retry-After'] as const)),
      ...(members.includes('runId') ? (['Link'] as const) : []),
      ...(isAnswer ? (['Content-Location'] as const) : []),
    ],
    perhaps: [
      ...(isAnswer ? (['Server-Timing', 'Preference-Applied', 'Idempotency-Replayed'] as const) : []),
      ...(mayHave.includes('runId') ? (['Link'] as const) : []),
      ...(code === 'unsupported-media-type' ? (['Accept-Encoding'] as const) : []),
    ],
  }
}

function headerObjects(required: readonly ResponseHeaderName[], possible: readonly ResponseHeaderName[]): JsonObject {
  const describe = (name: ResponseHeaderName, isRequired: boolean): [string, JsonObject] => {
    const { description, schema, example } = responseHeaders[name]
    return [name, { description, required: isRequired, schema: jsonSchema(schema, 'output'), example }]
  }
  return Object.fromEntries([
    ...required.map((name) => describe(name, true)),
    ...possible.map((name) => describe(name, false)),
  ])
}
