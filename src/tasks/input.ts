/** Checks a task's input against its schema, and says where it is wrong. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { RequestIssue } from '../domain/problems.ts'
import { RawJson } from '../domain/json.ts'
import type { Task } from './task-module.ts'

export type CheckedInput =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly issues: readonly RequestIssue[] }

/** @returns the value as the schema parsed it, or its issues with JSON Pointers relative to the input */
export async function checkInput(task: Task, input: unknown): Promise<CheckedInput> {
  if (task.input === undefined) return { ok: true, value: input }
  const value: unknown = input instanceof RawJson ? input.parse() : input
  const result = await task.input['~standard'].validate(value)
  if (result.issues === undefined) return { ok: true, value: result.value }
  return {
    ok: false,
    issues: result.issues.map(({ path, message }) => ({ pointer: pointerOf(path), detail: message })),
  }
}

/** RFC 6901. */
export function pointerOf(path: StandardSchemaV1.Issue['path']): string {
  const keys = (path ?? []).map((segment) => (typeof segment === 'object' ? segment.key : segment))
  return keys.map((key) => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/**
 * The input as JSON Schema (draft 2020-12). What JSON Schema cannot say is a description, and everything else is shown.
 * @returns null where the task takes anything
 */
export function inputJsonSchema(task: Task): Readonly<Record<string, unknown>> | null {
  if (task.input === undefined) return null
  const standard: object = task.input['~standard']
  return (
    converted(standard) ?? {
      description: `checked by ${String(Reflect.get(standard, 'vendor'))}, which cannot say how`,
    }
  )
}

/** https://standardschema.dev/json-schema: optional, so its absence is no defect of the schema. */
function converted(standard: object): Readonly<Record<string, unknown>> | null {
  const converter: unknown = Reflect.get(standard, 'jsonSchema')
  const convert: unknown = Reflect.get(Object(converter), 'input')
  if (typeof convert !== 'function') return null
  // Those of zod; each library looks for its own.
  const libraryOptions = { unrepresentable: 'any', override: describeUnrepresentable }
  for (const options of [{ libraryOptions }, {}]) {
    try {
      const made: unknown = Reflect.apply(convert, converter, [{ target: 'draft-2020-12', ...options }])
      if (typeof made === 'object' && made !== null) return { ...made }
    } catch {
      // Not with these.
    }
  }
  return null
}

/** An empty schema says that anything is taken. */
function describeUnrepresentable({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: object }): void {
  const definition: unknown = Reflect.get(Object(Reflect.get(Object(zodSchema), '_zod')), 'def')
  const type = String(Reflect.get(Object(definition), 'type'))
  const isAnything = type === 'any' || type === 'unknown'
  if (!isAnything && Object.keys(jsonSchema).length === 0)
    Reflect.set(jsonSchema, 'description', `${type}, which JSON Schema cannot say`)
}
