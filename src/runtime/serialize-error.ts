/** Describes a thrown value of any kind as plain data, so that it can cross threads and be stored. Never throws. */
import { types } from 'node:util'
import type { JobError } from '../domain/job.ts'
import {
  get,
  includes,
  isArray,
  isFinite,
  isObject,
  keys,
  slice,
  stringify,
  toNumber,
  toText,
  toWellFormed,
  uncurryThis,
} from './primordials.ts'

const maxMessageLength = 4_096
const maxStackLength = 16_384
const maxCauses = 5
/** Bounds of the errors that the message of an error lists. */
const maxListed = 10
const maxListedLength = 512
const maxListDepth = 3
/** Bounds of the members that follow the stack. */
const maxMembers = 32
const maxMembersLength = 2_048

/** Members that can hold several errors. */
const listMembers = ['errors', 'issues']

const { isNativeError, isMap, isSet } = types
type Take = (value: unknown, key: unknown) => void
const forEachOfMap = uncurryThis(Map.prototype.forEach as (this: Map<unknown, unknown>, take: Take) => void)
const forEachOfSet = uncurryThis(Set.prototype.forEach as (this: Set<unknown>, take: Take) => void)

type Description = Omit<JobError, 'code'>

/** Errors that an error carries: the first ones, and how many there are. */
interface CarriedErrors {
  readonly first: { readonly label: string; readonly error: unknown }[]
  total: number
}

/**
 * Keeps name, message, code, status, cause chain and stack of an error, and describes any other value. The message lists the
 * errors that the error carries besides its cause: `suppressed`, and `errors` and `issues`, which can be lists, maps or
 * objects. The first of them is the cause if there is no other. Further members that are texts, numbers, booleans or errors
 * follow the stack. Every text is well-formed Unicode.
 */
export function serializeError(thrown: unknown): Description {
  return describe(thrown, maxCauses)
}

/** False when `retryable` of the thrown value is false: the task says that another attempt is useless. */
export function isRetryableThrown(thrown: unknown): boolean {
  return read(thrown, 'retryable') !== false
}

/** Cuts the text to a length, and makes it well-formed Unicode. */
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
  const cause = ownCause === undefined ? carried.first[0]?.error : ownCause
  const stack = stackOf(thrown)
  return {
    message: composeMessage(thrown, carried, maxListDepth),
    ...(isErrorLike(thrown) && typeof name === 'string' && { name: cut(name, maxMessageLength) }),
    ...(typeof code === 'string' && { taskCode: cut(code, maxMessageLength) }),
    // JSON has no other numbers.
    ...(typeof code === 'number' && isFinite(code) && { taskCode: code }),
    ...(typeof status === 'number' && isFinite(status) && { status }),
    ...(cause !== undefined && causesLeft > 0 && { cause: describe(cause, causesLeft - 1) }),
    ...(stack !== null && { stack }),
  }
}

function composeMessage(thrown: unknown, { first, total }: CarriedErrors, depthLeft: number): string {
  if (!isErrorLike(thrown)) return `thrown value that is not an error: ${show(thrown)}`
  let message = show(read(thrown, 'message'))
  let listed = 0
  for (let index = 0; index < first.length && depthLeft > 0; index += 1) {
    const { label, error } = first[index] as CarriedErrors['first'][0]
    const line = summaryOf(error, depthLeft - 1)
    // Some errors list these in their own message already.
    if (includes(message, line.message)) continue
    const separator = listed > 0 ? '; ' : message === '' ? '' : ': '
    message += `${separator}[${label}] ${line.name}${line.message}`
    listed += 1
  }
  if (listed > 0 && total > first.length) message += `; and ${total - first.length} more`
  return cut(message, maxMessageLength)
}

function summaryOf(thrown: unknown, depthLeft: number): { readonly name: string; readonly message: string } {
  const name = isErrorLike(thrown) ? read(thrown, 'name') : undefined
  return {
    name: typeof name === 'string' && name !== '' ? `${cut(name, maxListedLength)}: ` : '',
    message: cut(
      isErrorLike(thrown) ? composeMessage(thrown, errorsIn(thrown), depthLeft) : show(thrown),
      maxListedLength,
    ),
  }
}

/** What an AggregateError, a SuppressedError or an error of a validator carries besides its cause. */
function errorsIn(thrown: unknown): CarriedErrors {
  for (let index = 0; index < listMembers.length; index += 1) {
    const carried = listedIn(read(thrown, listMembers[index] as string))
    if (carried.total > 0) return carried
  }
  const carried: CarriedErrors = { first: [], total: 0 }
  const suppressed = read(thrown, 'suppressed')
  if (suppressed === undefined) return carried
  add(carried, '1', read(thrown, 'error'))
  add(carried, '2', suppressed)
  return carried
}

/** The elements of a list, a Map or a Set, or the members of an object, with their names. */
function listedIn(value: unknown): CarriedErrors {
  const carried: CarriedErrors = { first: [], total: 0 }
  if (isList(value)) addElements(carried, value)
  else if (isMap(value)) forEachOfMap(value, (error, key) => add(carried, show(key), error))
  else if (isSet(value)) forEachOfSet(value, (error) => add(carried, toText(carried.total + 1), error))
  else addMembers(carried, value)
  return carried
}

function add(carried: CarriedErrors, label: string, error: unknown): void {
  const index = carried.total
  carried.total += 1
  if (index < maxListed) carried.first[index] = { label: cut(label, maxListedLength), error }
}

/** Reads only those that are listed: a list can be long. */
function addElements(carried: CarriedErrors, list: readonly unknown[]): void {
  const length = read(list, 'length')
  for (let index = 0; index < maxListed && index < toNumber(length); index += 1) {
    add(carried, toText(index + 1), read(list, toText(index)))
  }
  carried.total = typeof length === 'number' ? length : 0
}

function addMembers(carried: CarriedErrors, value: unknown): void {
  const names = keysOf(value)
  for (let index = 0; index < names.length; index += 1) {
    const name = names[index] as string
    const error = read(value, name)
    if (typeof error === 'string' || isObject(error)) add(carried, name, error)
  }
}

/** The stack, followed by members that are not shown elsewhere; null when there is neither. */
function stackOf(thrown: unknown): string | null {
  const stack = read(thrown, 'stack')
  const members = isErrorLike(thrown) ? membersOf(thrown) : ''
  if (typeof stack !== 'string') return members === '' ? null : members
  return cut(stack, maxStackLength) + (members === '' ? '' : `\n${members}`)
}

function membersOf(thrown: unknown): string {
  const shownElsewhere = ['message', 'name', 'code', 'status', 'stack', 'cause', 'retryable']
  const members: Record<string, unknown> = { __proto__: null }
  const responseStatus = read(read(thrown, 'response'), 'status')
  if (isShowable(responseStatus)) members['response.status'] = responseStatus
  const names = keysOf(thrown)
  for (let index = 0; index < names.length && index < maxMembers; index += 1) {
    const name = names[index] as string
    const value = plainMember(read(thrown, name))
    if (isShowable(value) && !isAmong(shownElsewhere, name))
      members[name] = typeof value === 'string' ? cut(value, maxListedLength) : value
  }
  const text = stringify(members)
  return text === '{}' ? '' : cut(text, maxMembersLength)
}

/** An error becomes one line, and a bigint a text. */
function plainMember(value: unknown): unknown {
  if (typeof value === 'bigint') return toText(value)
  if (!isNativeError(value)) return value
  const { name, message } = summaryOf(value, maxListDepth)
  return name + message
}

function isShowable(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && isFinite(value))
}

function isAmong(list: readonly string[], text: string): boolean {
  for (let index = 0; index < list.length; index += 1) if (list[index] === text) return true
  return false
}

function isList(value: unknown): value is readonly unknown[] {
  try {
    return isArray(value)
  } catch {
    // The value is a revoked proxy.
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
    // A getter or a proxy of the task throws.
    return undefined
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return cut(value, maxMessageLength)
  if (typeof value === 'function') return 'a function'
  try {
    const text = stringify(value) ?? toText(value)
    const maker = text === '{}' ? read(read(value, 'constructor'), 'name') : 'Object'
    const isPlain = typeof maker !== 'string' || maker === '' || maker === 'Object'
    return cut(isPlain ? text : `an object of class ${maker}`, maxMessageLength)
  } catch {
    return isObject(value) ? 'an object' : `a ${typeof value}`
  }
}
