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
  taskKinds,
  type TaskContext,
  type TaskPolicy,
  rateBounds,
  type Rate,
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

  const { name: ownName = name, run, input, secret = [], kind = defaults.kind, isolation = defaults.isolation } = given
  const { main = isolation === 'process' ? 'never' : defaults.main } = given
  if (ownName !== name) throw wrong(`its name is ${JSON.stringify(ownName)}, and it is loaded as "${name}"`)
  if (typeof run !== 'function') throw wrong('run must be a function')
  if (input !== undefined && !isStandardSchema(input))
    throw wrong('input must be a Standard Schema, such as one of zod from 3.24 on, valibot or arktype')
  const wrongPaths = wrongWithPaths(secret)
  if (wrongPaths !== null) throw wrong(`secret ${wrongPaths}`)
  const knownKind = taskKinds.find((candidate) => candidate === kind)
  if (knownKind === undefined) throw wrong(`kind must be one of ${taskKinds.join(', ')}`)
  const knownMain = mainPlacements.find((candidate) => candidate === main)
  if (knownMain === undefined) throw wrong(`main must be one of ${mainPlacements.join(', ')}`)

  const knownIsolation = isolations.find((candidate) => candidate === isolation)
  if (knownIsolation === undefined) throw wrong(`isolation must be one of ${isolations.join(', ')}`)
  if (knownIsolation === 'process') {
    if (knownKind !== 'cpu') throw wrong(`isolation 'process' is for kind cpu: a process runs one job at a time`)
    if (knownMain !== 'never') throw wrong(`with isolation 'process', main can only be 'never'`)
  }

  const whole = (member: string, min: number, max: number): number | undefined => {
    const value = given[member]
    if (value === undefined) return undefined
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw wrong(`${member} must be a whole number from ${min} to ${max}`)
    }
    return value
  }
  const { timeoutMs, maxAttempts, memoryMb } = policyBounds
  return {
    name,
    definition,
    url,
    policy: {
      kind: knownKind,
      timeoutMs: whole('timeoutMs', timeoutMs.min, timeoutMs.max) ?? defaults.timeoutMs,
      maxAttempts: whole('maxAttempts', maxAttempts.min, maxAttempts.max) ?? defaults.maxAttempts,
      memoryMb: whole('memoryMb', memoryMb.min, memoryMb.max) ?? defaults.memoryMb,
      main: knownMain,
      concurrency: whole('concurrency', 1, 1_000_000) ?? null,
      isolation: knownIsolation,
      rate: checkRate(given['rate'], knownMain, wrong),
    },
    input,
    secret: secret as readonly string[],
    schedule: given['schedule'],
    run: (value, context) => apply(run, definition, [value, context]) as unknown,
  }
}

/** Functions are definitions as `defineTask` returns them, and nothing else. */
function isDefinition(value: unknown): value is object {
  return typeof value === 'function' ? Object.keys(value).length > 0 : typeof value === 'object' && value !== null
}

function isStandardSchema(value: unknown): value is StandardSchemaV1 {
  const standard: unknown = Reflect.get(Object(value), '~standard')
  return typeof Reflect.get(Object(standard), 'validate') === 'function'
}

/**
 * @param rate of a definition; undefined: none
 * @param wrong makes the error of what is wrong with it
 */
function checkRate(rate: unknown, main: string, wrong: (what: string) => Error): Rate | null {
  if (rate === undefined) return null
  const names = Object.keys(Object(rate))
  if (names.length !== 2 || !names.includes('limit') || !names.includes('perMs')) {
    throw wrong('rate must be { limit, perMs }')
  }
  const whole = (member: keyof Rate): number => {
    const value: unknown = Reflect.get(Object(rate), member)
    const { min, max } = rateBounds[member]
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
    throw wrong(`rate.${member} must be a whole number from ${min} to ${max}`)
  }
  const checked = { limit: whole('limit'), perMs: whole('perMs') }
  if (main === 'always')
    throw wrong("a task with a rate cannot have main: 'always': its jobs wait their turn in the pool")
  return checked
}
