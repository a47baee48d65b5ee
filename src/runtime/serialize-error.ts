/** Describes a thrown value of any kind as plain data, so that it can cross threads and be stored. Never throws. */
import { types } from 'node:util'
import type { JobError } from '../domain/job.ts'
import {
  get,
  includes,
  isArray,
  isFinite,
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
/** Of an error that carries several: how many its message lists, how long each may be, and how deep they may nest. */
const maxListed = 10
const maxListedLength = 512
const maxListDepth = 3
/** Further members that follow the stack. */
const maxMembers = 32
const maxMembersLength = 2_048

/** Members that may hold several errors. */
const carriers = ['errors', 'issues']

const { isNativeError, isMap, isSet } = types
type Take = (value: unknown, key: unknown) => void
const forEachOfMap = uncurryThis(Map.prototype.forEach as (this: Map<unknown, unknown>, take: Take) => void)
const forEachOfSet = uncurryThis(Set.prototype.forEach as (this: Set<unknown>, take: Take) => void)

type Description = Omit<JobError, 'code'>

/** The errors that an error carries: those that may be listed, their places, and how many there are. */
interface Carried {
  readonly first: unknown[]
  readonly labels: string[]
  readonly total: number
}

const none: Carried = { first: [], labels: [], total: 0 }

/**
 * Keeps name, message, code, status, cause chain and stack of an error; describes any other value as what it is. The errors
 * that it carries in addition to its cause (`errors` and `issues`, which can be lists, maps or objects, and `suppressed`) are
 * listed in its message, and the first of them is its cause where it has none. Its other members, where they are texts,
 * numbers, booleans or errors, follow its stack. Every text is well-formed Unicode.
 */
export function serializeError(thrown: unknown): Description {
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

function messageOf(thrown: unknown, { first, labels, total }: Carried, depthLeft: number): string {
  if (!isErrorLike(thrown)) return `thrown value that is not an error: ${show(thrown)}`
  let message = show(read(thrown, 'message'))
  let listed = 0
  for (let index = 0; index < first.length && depthLeft > 0; index += 1) {
    const line = summaryOf(first[index], depthLeft - 1)
    // Some list them in their own message already.
    if (includes(message, line.message)) continue
    const separator = listed > 0 ? '; ' : message === '' ? '' : ': '
    message += `${separator}[${labels[index]}] ${line.name}${line.message}`
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

/** What an AggregateError, a SuppressedError and the errors of validators carry in addition to their cause. */
function errorsIn(thrown: unknown): Carried {
  for (let place = 0; place < carriers.length; place += 1) {
    const carried = listedIn(read(thrown, carriers[place] as string))
    if (carried.total > 0) return carried
  }
  const suppressed = read(thrown, 'suppressed')
  if (suppressed === undefined) return none
  return { first: [read(thrown, 'error'), suppressed], labels: ['1', '2'], total: 2 }
}

/** The elements of a list, a Map or a Set, or the members of an object, with their names. */
function listedIn(value: unknown): Carried {
  const first: unknown[] = []
  const labels: string[] = []
  let total = 0
  function add(label: string, error: unknown): void {
    total += 1
    if (total > maxListed) return
    first[total - 1] = error
    labels[total - 1] = cut(label, maxListedLength)
  }
  if (isList(value)) {
    const length = read(value, 'length')
    for (let index = 0; index < maxListed && index < toNumber(length); index += 1) {
      add(toText(index + 1), read(value, toText(index)))
    }
    return { first, labels, total: typeof length === 'number' ? length : 0 }
  }
  if (isMap(value)) forEachOfMap(value, (error, key) => add(show(key), error))
  else if (isSet(value)) forEachOfSet(value, (error) => add(toText(total + 1), error))
  else {
    const names = keysOf(value)
    for (let index = 0; index < names.length; index += 1) {
      const name = names[index] as string
      const error = read(value, name)
      if (typeof error === 'string' || isObject(error)) add(name, error)
    }
  }
  return { first, labels, total }
}

/** Its stack, and the members that stand nowhere else; null when there is neither. */
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

/** An error in one line, and a whole number that JSON does not have as text. */
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
    // A getter or a proxy of the task throws: there is no value.
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
