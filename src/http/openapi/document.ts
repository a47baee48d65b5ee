/** The OpenAPI document, made of the table of routes and of the schemas that type responses. */
import { z } from 'zod'
import { version } from '../../runtime/package.ts'
import { problemCodes } from '../../domain/problems.ts'
import type { PathParameters } from '../validation.ts'
import { type NamedSchemas, problemsOf, type Route } from '../route.ts'
import {
  causeSchema,
  jobErrorSchema,
  jobFailureSchema,
  jobIndexSchema,
  jobViewSchema,
  stepSchema,
} from '../views/job.ts'
import { problemSchema, problemSchemaOf } from '../problem.ts'
import { deliverySchema, minimalRunSchema, runIdSchema, runViewSchema } from '../views/run.ts'
import { problemExample } from './examples.ts'
import { requestHeaders } from '../route.ts'
import {
  jsonContent,
  type JsonObject,
  jsonSchema,
  namedSchemas,
  parameterName,
  problemResponses,
  problemSchemaName,
  refTo,
  success,
} from './parts.ts'

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
