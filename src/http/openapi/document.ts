/** The OpenAPI document, made of the table of routes and of the schemas that type responses. */
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

/**
 * https://spec.openapis.org/oas/v3.1.1.html
 * @param routes that the process answers
 * @param prefix of all addresses that it gives out
 */
export function createDocument(routes: readonly Route[], prefix = ''): JsonObject {
  const paths = Map.groupBy(routes, ({ path }) => path)
  const document = {
    openapi: '3.1.1',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Forerunner',
      version,
      description:
        'Answers a request with the result of its first task, and runs the rest in worker threads, durably. HEAD answers wherever GET does, OPTIONS everywhere; a method that a path has not is answered with the problem `method-not-allowed`.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: prefix || '/' }],
    security: [{ apiKey: [] }, {}],
    tags: [{ name: 'runs' }, { name: 'service' }],
    paths: Object.fromEntries([...paths].map(([path, ofPath]) => [path, pathItem(path, ofPath)])),
    components: components(routes),
  }
  return prefix === '' ? document : (addressed(document, prefix) as JsonObject)
}

/** Addresses in texts: of examples, and the `type` of each problem. Paths are names of members, and have no prefix. */
const address = /(?<before>^|[<"`])\/(?<first>runs|problems|run-tasks|schedules)(?=[/"`?]|$)/g

function addressed(value: unknown, prefix: string): unknown {
  if (typeof value === 'string') return value.replaceAll(address, `$<before>${prefix}/$<first>`)
  if (Array.isArray(value)) return value.map((each) => addressed(each, prefix))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, addressed(each, prefix)]))
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
  const { operationId, summary, description, area, isOpen, query = {}, headers = [], body, responses } = route
  const inQuery = Object.entries(query).map(([name, parameter]) => {
    const { description: meaning, ...schema } = jsonSchema(parameter, 'input')
    return { name, in: 'query', ...(meaning !== undefined && { description: meaning }), schema }
  })
  const parameters = [...inQuery, ...headers.map((name) => refTo('parameters', parameterName(name)))]
  return {
    operationId,
    summary: `${summary.charAt(0).toUpperCase()}${summary.slice(1)}`,
    ...(description !== undefined && { description }),
    tags: [area],
    ...(isOpen === true && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(body !== undefined && {
      requestBody: { required: route.method === 'PUT', content: jsonContent(body.json, body.example) },
    }),
    responses: {
      ...Object.fromEntries(responses.map((response) => [String(response.status), success(response, isOpen === true)])),
      ...problemResponses(problemsOf(route)),
    },
  }
}

/** They stand in the responses of several routes, and in problems. */
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

function components(routes: readonly Route[]): JsonObject {
  const taken = routes.map(({ body }) => body?.json)
  const given = routes.flatMap(({ responses, schemas }) => [...responses.map(({ json }) => json), schemas])
  const problemSchemas = problemCodes.map((code) => [problemSchemaName(code), problemSchemaOf(code)] as const)
  const parameters = Object.entries(requestHeaders).map(([name, { description, schema, example }]) => [
    parameterName(name),
    { name, in: 'header', description, schema: jsonSchema(schema, 'input'), example },
  ])
  return {
    securitySchemes: {
      apiKey: { type: 'http', scheme: 'bearer', description: 'One of the keys in API_KEYS, where there are some.' },
    },
    schemas: {
      ...namedSchemas(Object.assign({}, ...taken), 'input'),
      ...namedSchemas(Object.assign({ ...sharedSchemas }, ...given, Object.fromEntries(problemSchemas)), 'output'),
    },
    parameters: Object.fromEntries(parameters),
    examples: Object.fromEntries(problemCodes.map((code) => [code, { value: problemExample(code) }])),
  }
}

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
