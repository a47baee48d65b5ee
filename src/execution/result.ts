/**
 * A task's result as JSON text, or why it has none. JSON.stringify writes `null` or `{}` for much that is not JSON, so
 * the value is looked through before: quickly where all of it is plain, else while a plain copy is made.
 */
import { types } from 'node:util'
import { maxJsonDepth } from '../domain/json.ts'
import {
  apply,
  byteLength,
  get,
  getPrototypeOf,
  isArray,
  isFinite,
  isNaN,
  keys,
  replaceAll,
  slice,
  stringify,
  toText,
  toWellFormed,
  uncurryThis,
} from '../runtime/primordials.ts'
import { maxResultBytes } from '../domain/task.ts'
import { serializeError } from '../runtime/serialize-error.ts'

export type EncodedResult =
  | { readonly ok: true; readonly text: string }
  /** `problem` says what is wrong with it, as in “is not a JSON value”, and names the place as a JSON Pointer. */
  | { readonly ok: false; readonly problem: string }

/** Where a value is in the result. */
interface Place {
  readonly key: string | number
  readonly holder: object
  readonly above: Place | null
}

const { isArrayBufferView, isBoxedPrimitive, isDate, isNumberObject, isStringObject, isBooleanObject } = types
const { isAnyArrayBuffer, isMap, isSet, isNativeError, isPromise, isRegExp } = types
const getTime = uncurryThis(Date.prototype.getTime)
const numberOf = uncurryThis(Number.prototype.valueOf)
const stringOf = uncurryThis(String.prototype.valueOf)
const booleanOf = uncurryThis(Boolean.prototype.valueOf)
const createObject = Object.create
const { prototype: objectPrototype } = Object
const { prototype: arrayPrototype } = Array

/** Of each value, its comma or colon included. */
const minValueBytes = 2
const maxPointerLength = 300

/** A sentence that goes into the job's error. */
class NotJson extends Error {}

/** @param maxBytes of its JSON text */
export function encodeResult(value: unknown, maxBytes: number = maxResultBytes): EncodedResult {
  let text: string
  try {
    // Written before it is copied, a value that is no JSON would cost twice.
    text = stringify(isWrittenAsItIs(value, maxBytes) ? (value ?? null) : copyOf(value, maxBytes)) ?? 'null'
  } catch (error) {
    if (error instanceof NotJson) return { ok: false, problem: error.message }
    return { ok: false, problem: `is not a JSON value: ${serializeError(error).message}` }
  }
  const bytes = byteLength(text)
  if (bytes <= maxBytes) return { ok: true, text }
  return { ok: false, problem: `has ${bytes} bytes as JSON; ${maxBytes} are allowed` }
}

/** Whether JSON.stringify can have the value itself, as by far the most. */
function isWrittenAsItIs(value: unknown, maxBytes: number): boolean {
  try {
    return isPlain(value, 0, { values: maxBytes / minValueBytes })
  } catch {
    return false
  }
}

function isPlain(value: unknown, depth: number, left: { values: number }): boolean {
  left.values -= 1
  if (typeof value === 'string' || typeof value === 'boolean' || value === null || value === undefined) return true
  if (typeof value === 'number') return isFinite(value)
  if (typeof value !== 'object' || depth >= maxJsonDepth || left.values < 0) return false
  const prototype = getPrototypeOf(value)
  const isList = prototype === arrayPrototype && isArray(value)
  if (!isList && prototype !== objectPrototype && prototype !== null) return false
  if ('toJSON' in value) return false
  if (isList) {
    if (value.length > left.values) return false
    for (let index = 0; index < value.length; index += 1) if (!isPlain(value[index], depth + 1, left)) return false
    return true
  }
  for (const key in value) if (!isPlain((value as Record<string, unknown>)[key], depth + 1, left)) return false
  return true
}

/** What JSON.stringify would make of the value. @throws NotJson where that would lose something */
function copyOf(result: unknown, maxBytes: number): unknown {
  const maxValues = maxBytes / minValueBytes
  let values = 0
  let at: Place | null = null

  function copy(given: unknown, place: Place | null, depth: number): unknown {
    at = place
    values += 1
    if (values > maxValues) throw tooLarge(maxBytes)
    const value = unboxed(jsonOf(given, place))
    if (typeof value === 'number' && !isFinite(value)) throw notJson(toText(value), place)
    if (typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol') {
      throw notJson(`a ${typeof value}`, place)
    }
    if (typeof value !== 'object' || value === null) return value
    if (isWithin(value, place)) throw notJson('an object that contains itself', place)
    if (depth >= maxJsonDepth) throw tooDeep(place)
    return isArray(value) ? copyList(value, place, depth) : copyObject(value, place, depth)
  }

  function copyList(list: readonly unknown[], place: Place | null, depth: number): unknown[] {
    if (list.length > maxValues) throw tooLarge(maxBytes)
    const copied: unknown[] = []
    for (let key = 0; key < list.length; key += 1) {
      copied[key] = copy(list[key], { key, holder: list, above: place }, depth + 1)
    }
    return copied
  }

  function copyObject(holder: object, place: Place | null, depth: number): object {
    const names = keys(holder)
    const foreign = foreignKind(holder, names.length > 0)
    if (foreign !== null) throw notJson(foreign, place)
    // Without a prototype, a member named `__proto__` is one like any other.
    const copied = createObject(null) as Record<string, unknown>
    for (let index = 0; index < names.length; index += 1) {
      const key = names[index] as string
      const member = copy(get(holder, key), { key, holder, above: place }, depth + 1)
      if (member !== undefined) copied[key] = member
    }
    return copied
  }

  try {
    const copied = copy(result, null, 0)
    if (copied === undefined && result !== undefined) throw notJson('an object whose toJSON() returns nothing', null)
    return copied
  } catch (error) {
    // By a getter, a proxy or a toJSON().
    throw error instanceof NotJson ? error : notJson(`what throws (${serializeError(error).message})`, at)
  }
}

function jsonOf(value: unknown, place: Place | null): unknown {
  const hasMethods = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (!hasMethods && typeof value !== 'bigint') return value
  const toJson = (value as { toJSON?: unknown }).toJSON
  if (typeof toJson !== 'function') return value
  // Its JSON is null.
  if (isDate(value) && isNaN(getTime(value))) throw notJson('an invalid date', place)
  return apply(toJson, value, [place === null ? '' : toText(place.key)])
}

function unboxed(value: unknown): unknown {
  if (!isBoxedPrimitive(value)) return value
  if (isNumberObject(value)) return numberOf(value)
  if (isStringObject(value)) return stringOf(value)
  return isBooleanObject(value) ? booleanOf(value) : value
}

/** What the object is when its members do not say all that it holds; else null. */
function foreignKind(value: object, hasMembers: boolean): string | null {
  if (isNativeError(value)) return 'an error'
  if (isPromise(value)) return 'a promise'
  const isBinary = isArrayBufferView(value) || isAnyArrayBuffer(value)
  const isBuiltIn = isMap(value) || isSet(value) || isRegExp(value) || isDate(value) || isBoxedPrimitive(value)
  const prototype = getPrototypeOf(value)
  // Object.prototype, of whichever realm, has none itself.
  const isPlainObject = prototype === null || getPrototypeOf(prototype) === null
  if (!isBinary && !isBuiltIn && (isPlainObject || hasMembers)) return null
  const maker: unknown = get(value, 'constructor')
  const name: unknown = typeof maker === 'function' ? get(maker, 'name') : null
  return `an object of class ${typeof name === 'string' && name !== '' ? name : 'unknown'}`
}

function notJson(what: string, place: Place | null): NotJson {
  return new NotJson(`is not a JSON value: ${what}${place === null ? '' : ` at ${pointerTo(place)}`}`)
}

function tooLarge(maxBytes: number): NotJson {
  return new NotJson(`has more than the ${maxBytes} bytes as JSON that are allowed`)
}

function isWithin(value: object, place: Place | null): boolean {
  for (let above = place; above !== null; above = above.above) if (above.holder === value) return true
  return false
}

function tooDeep(place: Place | null): NotJson {
  const where = place === null ? '' : `, at ${pointerTo(place)}`
  return new NotJson(`is nested more than ${maxJsonDepth} levels deep${where}`)
}

/** RFC 6901, and only as much of it as helps. */
function pointerTo(place: Place): string {
  let pointer = ''
  for (let each: Place | null = place; each !== null; each = each.above) {
    pointer = `/${replaceAll(replaceAll(toText(each.key), '~', '~0'), '/', '~1')}${pointer}`
  }
  const shown = pointer.length <= maxPointerLength ? pointer : `${slice(pointer, 0, maxPointerLength)}…`
  return toWellFormed(shown)
}
