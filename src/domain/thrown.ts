/** Describes whatever a task threw as plain data, so that it can cross threads and be stored. Never throws. */
import { types } from 'node:util'
import type { JobError } from './job.ts'
import { get, includes, isArray, isFinite, keys, slice, stringify, toText, toWellFormed } from './primordials.ts'

const maxMessageLength = 4_096
const maxStackLength = 16_384
const maxCauses = 5
/** Of an error that carries several: how many its message lists, how long each may be, and how deep they may nest. */
const maxListed = 10
const maxListedLength = 512
const maxListDepth = 3
/** Further members that are told behind the stack. */
const maxMembers = 32
const maxMembersLength = 2_048

const { isNativeError } = types

type Description = Omit<JobError, 'code'>

/** The errors that an error carries: those that may be listed, and how many there are. */
interface Carried {
  readonly first: readonly unknown[]
  readonly total: number
}

const none: Carried = { first: [], total: 0 }

/**
 * Keeps name, message, code, status, cause chain and stack of an error; tells any other value as what it is. The errors
 * that it carries beside its cause (`errors`, `issues`, `suppressed`) are listed in its message, and the first of them
 * is its cause where it has none. Its other members, where they are texts, numbers or booleans, stand behind its stack.
 * Every text is well-formed Unicode.
 */
export function describeThrown(thrown: unknown): Description {
  return describe(thrown, maxCauses)
}

/** A task says that trying again is useless by throwing something whose `retryable` is false. */
export function isRetryableThrown(thrown: unknown): boolean {
  return read(thrown, 'retryable') !== false
}

/** As much of the text as is allowed, as well-formed Unicode. */
export function cut(text: string, maxLength: number): string {
  return toWellFormed(text.length <= maxLength ? text : `${slice(text, 0, maxLength)}…`)
}

function isErrorLike(thrown: unknown): boolean {
  return isNativeError(thrown) || (isObject(thrown) && typeof read(thrown, 'message') === 'string')
}

function describe(thrown: unknown, causesLeft: number): Description {
  const name = read(thrown, 'name')
  const code = read(thrown, 'code')
  const status = read(thrown, 'status')
  const carried = errorsIn(thrown)
  const ownCause = read(thrown, 'cause')
  const cause = ownCause === undefined ? carried.first[0] : ownCause
  const stack = stackOf(thrown)
  return {
    message: messageOf(thrown, carried, maxListDepth),
    ...(isErrorLike(thrown) && typeof name === 'string' && { name: cut(name, maxMessageLength) }),
    ...(typeof code === 'string' && { taskCode: cut(code, maxMessageLength) }),
    // Others are no numbers of JSON.
    ...(typeof code === 'number' && isFinite(code) && { taskCode: code }),
    ...(typeof status === 'number' && isFinite(status) && { status }),
    ...(cause !== undefined && causesLeft > 0 && { cause: describe(cause, causesLeft - 1) }),
    ...(stack !== null && { stack }),
  }
}

function messageOf(thrown: unknown, { first, total }: Carried, depthLeft: number): string {
  if (!isErrorLike(thrown)) return `thrown value that is not an error: ${show(thrown)}`
  let message = show(read(thrown, 'message'))
  let listed = 0
  for (let index = 0; index < first.length && depthLeft > 0; index += 1) {
    const line = summaryOf(first[index], depthLeft - 1)
    // Some tell of them in their own message already.
    if (includes(message, line.message)) continue
    const separator = listed > 0 ? '; ' : message === '' ? '' : ': '
    message += `${separator}[${index + 1}] ${line.name}${line.message}`
    listed += 1
  }
  if (listed > 0 && total > first.length) message += `; and ${total - first.length} more`
  return cut(message, maxMessageLength)
}

function summaryOf(thrown: unknown, depthLeft: number): { readonly name: string; readonly message: string } {
  const name = isErrorLike(thrown) ? read(thrown, 'name') : undefined
  return {
    name: typeof name === 'string' && name !== '' ? `${cut(name, maxListedLength)}: ` : '',
    message: cut(isErrorLike(thrown) ? messageOf(thrown, errorsIn(thrown), depthLeft) : show(thrown), maxListedLength),
  }
}

/** What an AggregateError, a SuppressedError and the errors of validators carry beside their cause. */
function errorsIn(thrown: unknown): Carried {
  const errors = read(thrown, 'errors')
  if (isList(errors)) return firstOf(errors)
  const issues = read(thrown, 'issues')
  if (isList(issues)) return firstOf(issues)
  const suppressed = read(thrown, 'suppressed')
  return suppressed === undefined ? none : { first: [read(thrown, 'error'), suppressed], total: 2 }
}

function firstOf(list: readonly unknown[]): Carried {
  const first: unknown[] = []
  const length = read(list, 'length')
  const total = typeof length === 'number' ? length : 0
  for (let index = 0; index < total && index < maxListed; index += 1) first[index] = read(list, toText(index))
  return { first, total }
}

/** Its stack, and the members that nothing else tells; null when there is neither. */
function stackOf(thrown: unknown): string | null {
  const stack = read(thrown, 'stack')
  const members = isErrorLike(thrown) ? membersOf(thrown) : ''
  if (typeof stack !== 'string') return members === '' ? null : members
  return cut(stack, maxStackLength) + (members === '' ? '' : `\n${members}`)
}

function membersOf(thrown: unknown): string {
  const told = ['message', 'name', 'code', 'status', 'stack', 'cause', 'retryable']
  const members: Record<string, unknown> = { __proto__: null }
  const responseStatus = read(read(thrown, 'response'), 'status')
  if (isTold(responseStatus)) members['response.status'] = responseStatus
  const names = keysOf(thrown)
  for (let index = 0; index < names.length && index < maxMembers; index += 1) {
    const name = names[index] as string
    const value = read(thrown, name)
    if (isTold(value) && !isAmong(told, name))
      members[name] = typeof value === 'string' ? cut(value, maxListedLength) : value
  }
  const text = stringify(members)
  return text === '{}' ? '' : cut(text, maxMembersLength)
}

function isTold(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && isFinite(value))
}

function isAmong(list: readonly string[], text: string): boolean {
  for (let index = 0; index < list.length; index += 1) if (list[index] === text) return true
  return false
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function isList(value: unknown): value is readonly unknown[] {
  try {
    return isArray(value)
  } catch {
    // A proxy that was revoked.
    return false
  }
}

function keysOf(value: unknown): readonly string[] {
  try {
    return isObject(value) ? keys(value) : []
  } catch {
    return []
  }
}

function read(value: unknown, key: string): unknown {
  if (!isObject(value) && typeof value !== 'function') return undefined
  try {
    return get(value, key)
  } catch {
    // A getter or a proxy of the task's that throws has nothing to tell.
    return undefined
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return cut(value, maxMessageLength)
  if (typeof value === 'function') return 'a function'
  try {
    return cut(stringify(value) ?? toText(value), maxMessageLength)
  } catch {
    return isObject(value) ? 'an object' : `a ${typeof value}`
  }
}
