/** A loaded task module: the check that turns a default export into one, and the check of inputs against its schema. */
import { fileURLToPath } from 'node:url'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { BootError } from '../domain/errors.ts'
import { pointerOf, RawJson } from '../domain/json.ts'
import type { RequestIssue } from '../domain/problems.ts'
import {
  isolations,
  type MainPlacement,
  mainPlacements,
  policyBounds,
  type Rate,
  rateBounds,
  type TaskContext,
  taskKinds,
  type TaskPolicy,
} from '../domain/task.ts'
import { apply } from '../runtime/primordials.ts'
import { wrongWithPaths } from '../runtime/secret.ts'

export interface Task {
  readonly name: string
  /** The module's default export. */
  readonly definition: object
  /** URL of the module, which each thread loads itself. */
  readonly url: string
  readonly policy: TaskPolicy
  readonly input: StandardSchemaV1 | undefined
  /** As declared, not checked yet. */
  readonly schedule?: unknown
  /** Paths of the secret members of its input and result. */
  readonly secret: readonly string[]
  readonly run: (input: unknown, context: TaskContext) => unknown
}

const policyMembers = ['kind', 'timeoutMs', 'maxAttempts', 'memoryMb', 'main', 'concurrency', 'isolation', 'rate']
const knownMembers = new Set([...policyMembers, 'name', 'input', 'secret', 'schedule', 'run'])
const defaults = {
  kind: 'cpu',
  timeoutMs: 60_000,
  maxAttempts: 3,
  memoryMb: 512,
  main: 'auto',
  isolation: 'thread',
} as const

/**
 * @param label names the definition in errors; default: its file
 * @throws BootError that says what is wrong with it
 */
export function checkTask(name: string, url: string, definition: unknown, label?: string): Task {
  const wrong = (what: string): BootError => new BootError(`${label ?? fileURLToPath(url)}: ${what}`)
  if (!isDefinition(definition)) {
    throw wrong('its default export must be what defineTask({ … }) returns')
  }
  const given: Record<string, unknown> = { ...definition }
  const unknownMember = Object.keys(given).find((member) => !knownMembers.has(member))
  if (unknownMember !== undefined) throw wrong(`a task has no member "${unknownMember}"`)

  const { name: ownName = name, run, input, secret = [], schedule, rate } = given
  if (ownName !== name) throw wrong(`its name is ${JSON.stringify(ownName)}, and it is loaded as "${name}"`)
  if (typeof run !== 'function') throw wrong('run must be a function')
  if (input !== undefined && !isStandardSchema(input))
    throw wrong('input must be a Standard Schema, such as one of zod from 3.24 on, valibot or arktype')
  const wrongPaths = wrongWithPaths(secret)
  if (wrongPaths !== null) throw wrong(`secret ${wrongPaths}`)
  return {
    name,
    definition,
    url,
    policy: checkPolicy(given, rate, wrong),
    input,
    secret: secret as readonly string[],
    schedule,
    run: (value, context) => apply(run, definition, [value, context]) as unknown,
  }
}

/** Makes the error for an invalid definition. */
type Wrong = (what: string) => Error

function checkPolicy(given: Readonly<Record<string, unknown>>, rate: unknown, wrong: Wrong): TaskPolicy {
  const oneOf = <Value>(member: string, values: readonly Value[], missing: Value): Value => {
    const { [member]: value = missing } = given
    const known = values.find((candidate) => candidate === value)
    if (known === undefined) throw wrong(`${member} must be one of ${values.join(', ')}`)
    return known
  }
  const whole = (member: keyof typeof policyBounds): number =>
    given[member] === undefined ? defaults[member] : wholeNumber(given[member], member, policyBounds[member], wrong)

  const kind = oneOf('kind', taskKinds, defaults.kind)
  const main = oneOf('main', mainPlacements, given['isolation'] === 'process' ? 'never' : defaults.main)
  const isolation = oneOf('isolation', isolations, defaults.isolation)
  if (isolation === 'process') {
    if (kind !== 'cpu') throw wrong(`isolation 'process' is for kind cpu: a process runs one job at a time`)
    if (main !== 'never') throw wrong(`with isolation 'process', main can only be 'never'`)
  }
  const { concurrency } = given
  return {
    kind,
    timeoutMs: whole('timeoutMs'),
    maxAttempts: whole('maxAttempts'),
    memoryMb: whole('memoryMb'),
    main,
    concurrency:
      concurrency === undefined ? null : wholeNumber(concurrency, 'concurrency', { min: 1, max: 1_000_000 }, wrong),
    isolation,
    rate: rate === undefined ? null : checkRate(rate, main, wrong),
  }
}

interface Bounds {
  readonly min: number
  readonly max: number
}

function wholeNumber(value: unknown, member: string, { min, max }: Bounds, wrong: Wrong): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw wrong(`${member} must be a whole number from ${min} to ${max}`)
}

function checkRate(rate: unknown, main: MainPlacement, wrong: Wrong): Rate {
  const names = Object.keys(Object(rate))
  if (names.length !== 2 || !names.includes('limit') || !names.includes('perMs')) {
    throw wrong('rate must be { limit, perMs }')
  }
  const whole = (member: keyof Rate): number =>
    wholeNumber(Reflect.get(Object(rate), member), `rate.${member}`, rateBounds[member], wrong)
  const checked = { limit: whole('limit'), perMs: whole('perMs') }
  if (main === 'always')
    throw wrong("a task with a rate cannot have main: 'always': its jobs wait their turn in the pool")
  return checked
}

/** A function is a definition only if it has members, as `defineTask` returns it. */
function isDefinition(value: unknown): value is object {
  return typeof value === 'function' ? Object.keys(value).length > 0 : typeof value === 'object' && value !== null
}

function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  const standard: unknown = Reflect.get(Object(value), '~standard')
  return typeof Reflect.get(Object(standard), 'validate') === 'function'
}

export type CheckedInput =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly issues: readonly RequestIssue[] }

/** @returns the parsed value, or the issues with JSON Pointers relative to the input */
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

/**
 * The input's schema as JSON Schema (draft 2020-12). Parts that JSON Schema cannot express become descriptions.
 * @returns null: the task has no schema
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

/** By https://standardschema.dev/json-schema, which libraries need not support. */
function converted(standard: object): Readonly<Record<string, unknown>> | null {
  const converter: unknown = Reflect.get(standard, 'jsonSchema')
  const convert: unknown = Reflect.get(Object(converter), 'input')
  if (typeof convert !== 'function') return null
  // Options of zod; other libraries ignore them or throw, and are called again without.
  const libraryOptions = { unrepresentable: 'any', override: describeUnrepresentable }
  for (const options of [{ libraryOptions }, {}]) {
    try {
      const made: unknown = Reflect.apply(convert, converter, [{ target: 'draft-2020-12', ...options }])
      if (typeof made === 'object' && made !== null) return { ...made }
    } catch {
      // The next options may work.
    }
  }
  return null
}

/** Describes a type that JSON Schema cannot express; its empty schema would allow any value. */
function describeUnrepresentable({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: object }): void {
  const definition: unknown = Reflect.get(Object(Reflect.get(Object(zodSchema), '_zod')), 'def')
  const type = String(Reflect.get(Object(definition), 'type'))
  const isAnything = type === 'any' || type === 'unknown'
  if (!isAnything && Object.keys(jsonSchema).length === 0)
    Reflect.set(jsonSchema, 'description', `${type}, which JSON Schema cannot say`)
}
