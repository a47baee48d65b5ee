/** A loaded task module, and the check that turns a module's default export into one. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { fileURLToPath } from 'node:url'
import { BootError } from '../domain/errors.ts'
import { wrongWithPaths } from '../runtime/secret.ts'
import { apply } from '../runtime/primordials.ts'
import {
  isolations,
  mainPlacements,
  policyBounds,
  rateBounds,
  taskKinds,
  type MainPlacement,
  type Rate,
  type TaskContext,
  type TaskPolicy,
} from '../domain/task.ts'
import { describeLoadFailure, traceImports } from './module-loading.ts'

export interface Task {
  readonly name: string
  /** The module's default export. */
  readonly definition: object
  /** The module's URL: threads load it by themselves. */
  readonly url: string
  readonly policy: TaskPolicy
  readonly input: StandardSchemaV1 | undefined
  /** As its module has it. */
  readonly schedule?: unknown
  /** Paths of what is hidden. */
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
 * Imports a task module and checks its default export.
 * @throws BootError that names the file and what is wrong with it
 */
export async function loadTask(name: string, url: string): Promise<Task> {
  const { trace, stop } = traceImports()
  try {
    return checkTask(name, url, defaultOf(await import(url)))
  } catch (error) {
    if (error instanceof BootError) throw error
    throw new BootError(`${fileURLToPath(url)}: cannot be loaded: ${describeLoadFailure(error, trace)}`, error)
  } finally {
    stop()
  }
}

/** What TypeScript and others compile to CommonJS has its default export inside of the one that Node sees. */
function defaultOf(module: unknown): unknown {
  const outer: unknown = Reflect.get(Object(module), 'default')
  const isWrapped = typeof outer === 'object' && outer !== null && 'default' in outer && !('run' in outer)
  return isWrapped ? outer.default : outer
}

/**
 * @param place names the definition in what is thrown; default: its file
 * @throws BootError that says what is wrong with it
 */
export function checkTask(name: string, url: string, definition: unknown, place?: string): Task {
  const wrong = (what: string): BootError => new BootError(`${place ?? fileURLToPath(url)}: ${what}`)
  if (!isDefinition(definition)) {
    throw wrong('its default export must be what defineTask({ … }) returns')
  }
  // The threads and the main one load the same file: what is wrong with it is reported once, at boot.
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

/** Makes the error of what is wrong with a definition. */
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

/** Functions are definitions as `defineTask` returns them, and nothing else. */
function isDefinition(value: unknown): value is object {
  return typeof value === 'function' ? Object.keys(value).length > 0 : typeof value === 'object' && value !== null
}

function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  const standard: unknown = Reflect.get(Object(value), '~standard')
  return typeof Reflect.get(Object(standard), 'validate') === 'function'
}
