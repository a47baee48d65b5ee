/** Parts of the OpenAPI document: schemas, references to them, and the responses of an operation. */
import { z } from 'zod'
import { failureStatuses } from '../../domain/run.ts'
import { type ProblemCode, problems } from '../../domain/problems.ts'
import { type NamedSchemas, type ResponseHeaderName, responseHeaders, type RouteResponse } from '../route.ts'

export type JsonObject = Readonly<Record<string, unknown>>

export const refTo = (kind: 'schemas' | 'parameters' | 'examples', name: string): JsonObject => ({
  $ref: `#/components/${kind}/${name}`,
})

/** `run-not-found` → `RunNotFoundProblem`. */
export function problemSchemaName(code: ProblemCode): string {
  const words = code.split('-').map((word) => `${word.charAt(0).toUpperCase()}${word.slice(1)}`)
  return `${words.join('')}Problem`
}

export function parameterName(header: string): string {
  return header.replaceAll('-', '')
}

/** As JSON Schema 2020-12, to stand inside the document. */
export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, override: simplify })
  return rest
}

/**
 * Takes out what says twice what the format says, and `readOnly`, which means something else in OpenAPI. A default
 * becomes words: generators of clients make members that have one required.
 */
function simplify({ jsonSchema: schema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (schema.format === 'date-time') delete schema.pattern
  delete schema.readOnly
  if (schema.default === undefined) return
  const standard = `Default: \`${JSON.stringify(schema.default)}\`.`
  schema.description = schema.description === undefined ? standard : `${schema.description}. ${standard}`
  delete schema.default
}

/** Schemas that refer to each other by name. */
export function namedSchemas(schemas: NamedSchemas, io: 'input' | 'output'): JsonObject {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id })
  const uri = (id: string): string => `#/components/schemas/${id}`
  const { schemas: made } = z.toJSONSchema(registry, { io, uri, override: simplify })
  const bare = Object.entries(made).map(([id, { $schema: _dialect, $id: _id, ...schema }]) => [id, schema] as const)
  return Object.fromEntries(bare)
}

/** Whether each of them is always sent, or only where it applies. */
type Headers = Partial<Record<ResponseHeaderName, boolean>>

export function success(
  { description, json, mediaType, example, headers = [], mayHave = [] }: RouteResponse,
  isOpen: boolean,
): JsonObject {
  const always = headers.map((name) => [name, true] as const)
  const perhaps = [...mayHave, ...(isOpen ? [] : (['Vary'] as const))].map((name) => [name, false] as const)
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
    Vary: false,
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
