/** What the operations of the OpenAPI document refer to: schemas, parameters and examples, by name. */
import { z } from 'zod'
import { problemCodes, type ProblemCode } from '../../domain/problems.ts'
import type { NamedSchemas, Route } from '../route.ts'
import { causeSchema, jobErrorSchema, jobFailureSchema, jobViewSchema } from '../views/job.ts'
import { problemSchema, problemSchemaOf } from '../views/problem.ts'
import { minimalRunSchema, runViewSchema } from '../views/run.ts'
import { problemExample } from './examples.ts'
import { requestHeaders } from './headers.ts'

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
function named(schemas: NamedSchemas, io: 'input' | 'output'): JsonObject {
  const registry = z.registry<{ id: string }>()
  for (const [id, schema] of Object.entries(schemas)) registry.add(schema, { id })
  const uri = (id: string): string => `#/components/schemas/${id}`
  const { schemas: made } = z.toJSONSchema(registry, { io, uri, override: simplify })
  const bare = Object.entries(made).map(([id, { $schema: _dialect, $id: _id, ...schema }]) => [id, schema] as const)
  return Object.fromEntries(bare)
}

/** They stand in the answers of several routes, and in problems. */
const sharedSchemas: NamedSchemas = {
  Run: runViewSchema,
  MinimalRun: minimalRunSchema,
  Job: jobViewSchema,
  JobFailure: jobFailureSchema,
  JobError: jobErrorSchema,
  Cause: causeSchema,
  Problem: problemSchema,
}

export function components(routes: readonly Route[]): JsonObject {
  const taken = routes.map(({ body }) => body?.json)
  const given = routes.flatMap(({ answers, schemas }) => [...answers.map(({ json }) => json), schemas])
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
      ...named(Object.assign({}, ...taken), 'input'),
      ...named(Object.assign({ ...sharedSchemas }, ...given, Object.fromEntries(problemSchemas)), 'output'),
    },
    parameters: Object.fromEntries(parameters),
    examples: Object.fromEntries(problemCodes.map((code) => [code, { value: problemExample(code) }])),
  }
}
