/** Makes the OpenAPI document from the table of routes and from the schemas of requests and responses. */
import { z } from 'zod'
import { type ProblemCode, problemCodes, problems } from '../../domain/problems.ts'
import { failureStatuses } from '../../domain/run.ts'
import { version } from '../../runtime/package.ts'
import { problemSchema, problemSchemaOf } from '../problem.ts'
import type { PathParameters } from '../validation.ts'
import {
  type NamedSchemas,
  problemsOf,
  requestHeaders,
  type ResponseHeaderName,
  responseHeaders,
  type Route,
  type RouteResponse,
} from '../route.ts'
import {
  causeSchema,
  jobErrorSchema,
  jobFailureSchema,
  jobIndexSchema,
  jobViewSchema,
  stepSchema,
} from '../views/job.ts'
import { deliverySchema, minimalRunSchema, runIdSchema, runViewSchema } from '../views/run.ts'
import { problemExample } from './examples.ts'

type JsonObject = Readonly<Record<string, unknown>>

const pathParameters: Record<keyof PathParameters, z.ZodType> = {
  id: runIdSchema,
  index: jobIndexSchema,
  deliveryId: z.string(),
  slug: z.enum(problemCodes),
  name: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}$/)
    .describe('of a task or a schedule'),
}

/** Schemas with a name of their own, which several routes or problems refer to. */
const sharedSchemas: NamedSchemas = {
  Run: runViewSchema,
  MinimalRun: minimalRunSchema,
  Job: jobViewSchema,
  JobFailure: jobFailureSchema,
  JobError: jobErrorSchema,
  JobStep: stepSchema,
  Cause: causeSchema,
  Delivery: deliverySchema,
  Problem: problemSchema,
}

/**
 * https://spec.openapis.org/oas/v3.1.1.html
 * @param routes the routes that the process serves
 * @param prefix precedes each address in the responses
 */
export function createDocument(routes: readonly Route[], prefix = ''): JsonObject {
  const document = {
    openapi: '3.1.1',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Forerunner',
      version,
      description:
        'Answers a request with the result of its first task, and runs the rest in worker threads, durably. HEAD works wherever GET does, and OPTIONS everywhere. A method that a path does not have gets the problem `method-not-allowed`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: prefix || '/' }],
    security: [{ apiKey: [] }, {}],
    tags: [{ name: 'runs' }, { name: 'service' }],
    paths: Object.fromEntries(
      [...Map.groupBy(routes, ({ path }) => path)].map(([path, ofPath]) => [path, pathItem(path, ofPath)]),
    ),
    components: components(routes),
  }
  return prefix === '' ? document : (withPrefix(document, prefix) as JsonObject)
}

/** An address in a text: in an example, or the `type` of a problem. Paths are names of members, and get no prefix. */
const address = /(?<before>^|[<"`])\/(?<first>runs|problems|run-tasks|schedules)(?=[/"`?]|$)/g

function withPrefix(value: unknown, prefix: string): unknown {
  if (typeof value === 'string') return value.replaceAll(address, `$<before>${prefix}/$<first>`)
  if (Array.isArray(value)) return value.map((each) => withPrefix(each, prefix))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withPrefix(each, prefix)]))
}

function pathItem(path: string, routes: readonly Route[]): JsonObject {
  const parameters = Object.entries(pathParameters)
    .filter(([name]) => path.includes(`{${name}}`))
    .map(([name, schema]) => ({ name, in: 'path', required: true, schema: jsonSchema(schema, 'input') }))
  return {
    ...(parameters.length > 0 && { parameters }),
    ...Object.fromEntries(routes.map((route) => [route.method.toLowerCase(), operation(route)])),
  }
}

function operation(route: Route): JsonObject {
  const { operationId, summary, description, area, isOpen = false, body, query = {}, headers = [], responses } = route
  const queryParameters = Object.entries(query).map(([name, parameter]) => {
    const { description: meaning, ...schema } = jsonSchema(parameter, 'input')
    return { name, in: 'query', ...(meaning !== undefined && { description: meaning }), schema }
  })
  const parameters = [...queryParameters, ...headers.map((name) => refTo('parameters', parameterName(name)))]
  return {
    operationId,
    summary: capitalised(summary),
    ...(description !== undefined && { description }),
    tags: [area],
    ...(isOpen && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: route.method === 'PUT', content: jsonContent(body.json, body.example) },
    }),
    responses: {
      ...Object.fromEntries(responses.map((response) => [String(response.status), successResponse(response, isOpen)])),
      ...problemResponses(problemsOf(route)),
    },
  }
}

function components(routes: readonly Route[]): JsonObject {
  const requestSchemas = routes.map(({ body }) => body?.json)
  const responseSchemas = routes.flatMap(({ responses, schemas }) => [...responses.map(({ json }) => json), schemas])
  const problemSchemas = problemCodes.map((code) => [problemSchemaName(code), problemSchemaOf(code)])
  const parameters = Object.entries(requestHeaders).map(([name, { description, schema, example }]) => [
    parameterName(name),
    { name, in: 'header', description, schema: jsonSchema(schema, 'input'), example },
  ])
  return {
    securitySchemes: {
      apiKey: { type: 'http', scheme: 'bearer', description: 'One of the keys in API_KEYS, if there are any.' },
    },
    schemas: {
      ...namedSchemas(Object.assign({}, ...requestSchemas), 'input'),
      ...namedSchemas(
        Object.assign({ ...sharedSchemas }, ...responseSchemas, Object.fromEntries(problemSchemas)),
        'output',
      ),
    },
    parameters: Object.fromEntries(parameters),
    examples: Object.fromEntries(problemCodes.map((code) => [code, { value: problemExample(code) }])),
  }
}

function refTo(kind: 'schemas' | 'parameters' | 'examples', name: string): JsonObject {
  return { $ref: `#/components/${kind}/${name}` }
}

/** `run-not-found` → `RunNotFoundProblem`. */
function problemSchemaName(code: ProblemCode): string {
  return `${code.split('-').map(capitalised).join('')}Problem`
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function parameterName(header: string): string {
  return header.replaceAll('-', '')
}

/** JSON Schema 2020-12 without what only a document of its own needs. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): JsonObject {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, override: simplify })
  return rest
}

/** Schemas that refer to each other by name. */
function namedSchemas(schemas: NamedSchemas, io: 'input' | 'output'): JsonObject {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id })
  const uri = (id: string): string => `#/components/schemas/${id}`
  const { schemas: made } = z.toJSONSchema(registry, { io, uri, override: simplify })
  const bare = Object.entries(made).map(([id, { $schema: _dialect, $id: _id, ...schema }]) => [id, schema] as const)
  return Object.fromEntries(bare)
}

/**
 * Removes the pattern of a date, which repeats its format, and `readOnly`, which means something else in OpenAPI. A default
 * becomes words, because generators of clients require members that have a default.
 */
function simplify({ jsonSchema: schema }: { readonly jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (schema.format === 'date-time') delete schema.pattern
  delete schema.readOnly
  if (schema.default === undefined) return
  const standard = `Default: \`${JSON.stringify(schema.default)}\`.`
  schema.description = schema.description === undefined ? standard : `${schema.description}. ${standard}`
  delete schema.default
}

/** By name: whether the header is always sent, or only if it applies. */
type Headers = Partial<Record<ResponseHeaderName, boolean>>

function successResponse(response: RouteResponse, isOpen: boolean): JsonObject {
  const { description, json, mediaType, example, headers = [], mayHave = [] } = response
  const required = headers.map((name) => [name, true] as const)
  const optional = [...mayHave, ...(isOpen ? [] : (['Vary'] as const))].map((name) => [name, false] as const)
  return {
    description,
    headers: headerObjects(Object.fromEntries([...required, ...optional])),
    ...(json !== undefined && { content: jsonContent(json, example) }),
    ...(mediaType !== undefined && { content: textContent([mediaType].flat(), example) }),
  }
}

/** JSON with any of these schemas. */
function jsonContent(schemas: NamedSchemas, example: unknown): JsonObject {
  const refs = Object.keys(schemas).map((name) => refTo('schemas', name))
  return { 'application/json': { schema: refs.length > 1 ? { anyOf: refs } : refs[0], example } }
}

function textContent(types: readonly string[], example: unknown): JsonObject {
  const schema = { type: types[0] === 'application/json' ? 'object' : 'string' }
  const content = { schema, ...(example !== undefined && { example }) }
  return Object.fromEntries(types.map((type) => [type, content]))
}

/** By status. Several problems may have the same status. */
function problemResponses(codes: readonly ProblemCode[]): JsonObject {
  const byStatus = Map.groupBy(codes, (code) => String(problems[code].status))
  if (codes.includes('first-task-failed')) {
    // A failed first task may set the status.
    for (const status of failureStatuses.map(String)) {
      byStatus.set(status, [...(byStatus.get(status) ?? []), 'first-task-failed'])
    }
  }
  return Object.fromEntries([...byStatus].map(([status, ofStatus]) => [status, problemResponse(ofStatus)]))
}

/** One response for all problems of a status. A header is required if each of them has it. */
function problemResponse(codes: readonly ProblemCode[]): JsonObject {
  const refs = codes.map((code) => refTo('schemas', problemSchemaName(code)))
  const all = codes.map(headersOf)
  const names = all.flatMap((headers) => Object.keys(headers) as ResponseHeaderName[])
  const headers = Object.fromEntries(names.map((name) => [name, all.every((each) => each[name] === true)]))
  return {
    description: codes.map((code) => `\`${code}\`: ${problems[code].meaning}`).join('\n\n'),
    headers: headerObjects(headers),
    content: {
      'application/problem+json': {
        schema: refs.length > 1 ? { oneOf: refs } : refs[0],
        examples: Object.fromEntries(codes.map((code) => [code, refTo('examples', code)])),
      },
    },
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
    // A problem that names the deciding job is the answer of a run.
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
