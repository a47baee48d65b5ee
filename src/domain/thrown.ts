/** Describes whatever a task threw as plain data, so that it can cross threads and be stored. Never throws. */
import type { JobError } from './job.ts'

const maxMessageLength = 4_096
const maxStackLength = 16_384
const maxCauses = 5

type Description = Omit<JobError, 'code'>

/** Keeps name, message, code, status, cause chain and stack of an error; tells any other value as what it is. */
export function describeThrown(thrown: unknown): Description {
  return describe(thrown, maxCauses)
}

/** A task says that trying again is useless by throwing something whose `retryable` is false. */
export function isRetryableThrown(thrown: unknown): boolean {
  return read(thrown, 'retryable') !== false
}

function describe(thrown: unknown, causesLeft: number): Description {
  if (!isErrorLike(thrown)) return { message: `thrown value that is not an error: ${show(thrown)}` }
  const name = read(thrown, 'name')
  const code = read(thrown, 'code')
  const status = read(thrown, 'status')
  const stack = read(thrown, 'stack')
  const cause = read(thrown, 'cause')
  return {
    message: cut(show(read(thrown, 'message')), maxMessageLength),
    ...(typeof name === 'string' && { name: cut(name, maxMessageLength) }),
    ...(typeof code === 'string' && { taskCode: cut(code, maxMessageLength) }),
    // Others are no numbers of JSON.
    ...(Number.isFinite(code) && { taskCode: Number(code) }),
    ...(Number.isFinite(status) && { status: Number(status) }),
    ...(cause !== undefined && causesLeft > 0 && { cause: describe(cause, causesLeft - 1) }),
    ...(typeof stack === 'string' && { stack: cut(stack, maxStackLength) }),
  }
}

function isErrorLike(thrown: unknown): boolean {
  return typeof thrown === 'object' && thrown !== null && typeof read(thrown, 'message') === 'string'
}

function read(value: unknown, key: string): unknown {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return undefined
  try {
    return Reflect.get(value, key)
  } catch {
    // A getter or a proxy of the task's that throws has nothing to tell.
    return undefined
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return cut(value, maxMessageLength)
  if (typeof value === 'function') return 'a function'
  try {
    return cut(JSON.stringify(value) ?? String(value), maxMessageLength)
  } catch {
    return `a ${typeof value}`
  }
}

function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}…`
}
