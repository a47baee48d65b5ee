/** The responses of an operation: its successes, and its problems by status. */
import { failureStatuses } from '../../domain/answer.ts'
import { problems, type ProblemCode } from '../../domain/problems.ts'
import type { Answer, NamedSchemas } from '../route.ts'
import { jsonSchema, problemSchemaName, refTo, type JsonObject } from './components.ts'
import { responseHeaders, type ResponseHeaderName } from './headers.ts'

/** Whether each of them is always sent, or only where it applies. */
type Headers = Partial<Record<ResponseHeaderName, boolean>>

export function success({ description, json, mediaType, example, headers = [], mayHave = [] }: Answer): JsonObject {
  const always = headers.map((name) => [name, true] as const)
  const perhaps = mayHave.map((name) => [name, false] as const)
  return {
    description,
    headers: headerObjects(Object.fromEntries([...always, ...perhaps])),
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
  const refs = codes.map((code) => refTo('schemas', problemSchemaName(code)))
  const all = codes.map(headersOf)
  const names = all.flatMap((headers) => Object.keys(headers) as ResponseHeaderName[])
  const examples = Object.fromEntries(codes.map((code) => [code, refTo('examples', code)]))
  return {
    description: codes.map((code) => `\`${code}\`: ${problems[code].meaning}`).join('\n\n'),
    headers: headerObjects(
      Object.fromEntries(names.map((name) => [name, all.every((headers) => headers[name] === true)])),
    ),
    content: { 'application/problem+json': { schema: refs.length > 1 ? { oneOf: refs } : refs[0], examples } },
  }
}

function headersOf(code: ProblemCode): Headers {
  const { retryAfterS, members = [], mayHave = [] } = problems[code]
  return {
    'Cache-Control': true,
    ...(code === 'unauthorized' && { 'WWW-Authenticate': true }),
    ...(code === 'unsupported-media-type' && { 'Accept-Encoding': false }),
    ...(retryAfterS !== undefined && { 'Retry-After': true }),
    ...(mayHave.includes('runId') && { Link: false }),
    ...(members.includes('runId') && { Link: true }),
    // It is the answer of a run.
    ...(members.includes('jobIndex') && {
      'Content-Location': true,
      'Server-Timing': false,
      'Preference-Applied': false,
      'Idempotency-Replayed': false,
    }),
  }
}

function headerObjects(headers: Headers): JsonObject {
  return Object.fromEntries(
    Object.entries(headers).map(([name, required]) => {
      const { description, schema, example } = responseHeaders[name as ResponseHeaderName]
      return [name, { description, required, schema: jsonSchema(schema, 'output'), example }]
    }),
  )
}
