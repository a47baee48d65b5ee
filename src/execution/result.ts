/**
 * Encodes a task's result as JSON text. JSON.stringify writes `null` or `{}` for many values that are not JSON, so the
 * value is checked before: quickly when all of it is plain, else while a plain copy is made.
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
  /** `problem` continues a sentence, as in “is not a JSON value: NaN at /a/0”. */
  | { readonly ok: false; readonly problem: string }

/** The position of a value in the result; null for the result itself. */
interface Position {
  readonly key: string | number
  readonly holder: object
  readonly parent: Position | null
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

/** Including its comma or colon. */
const minValueBytes = 2
const maxPointerLength = 300

/** Its message is the `problem` of the result. */
class NotJson extends Error {}

/** @param maxBytes of the JSON text */
export function encodeResult(value: unknown, maxBytes: number = maxResultBytes): EncodedResult {
  let text: string
  try {
    text = stringify(isAllPlain(value, maxBytes) ? (value ?? null) : plainCopy(value, maxBytes)) ?? 'null'
  } catch (error) {
    if (error instanceof NotJson) return { ok: false, problem: error.message }
    return { ok: false, problem: `is not a JSON value: ${serializeError(error).message}` }
  }
  const bytes = byteLength(text)
  if (bytes <= maxBytes) return { ok: true, text }
  return { ok: false, problem: `has ${bytes} bytes as JSON; ${maxBytes} are allowed` }
}

/** Whether JSON.stringify can take the value itself, which holds for most results. */
function isAllPlain(value: unknown, maxBytes: number): boolean {
  try {
    return isPlain(value, 0, { values: maxBytes / minValueBytes })
  } catch {
    return false
  }
}

/** @param left how many more values may follow; it changes */
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

/** Copies the value as JSON.stringify would write it. @throws NotJson when that would lose something */
function plainCopy(result: unknown, maxBytes: number): unknown {
  const maxValues = maxBytes / minValueBytes
  let values = 0
  let current: Position | null = null

  function copy(given: unknown, position: Position | null, depth: number): unknown {
    current = position
    values += 1
    if (values > maxValues) throw tooLarge(maxBytes)
    const value = unboxed(jsonOf(given, position))
    if (typeof value === 'number' && !isFinite(value)) throw notJson(toText(value), position)
    if (typeof value === 'bigint' || typeof value === 'function' || typeof value === 'symbol') {
      throw notJson(`a ${typeof value}`, position)
    }
    if (typeof value !== 'object' || value === null) return value
    if (containsItself(value, position)) throw notJson('an object that contains itself', position)
    if (depth >= maxJsonDepth) throw tooDeep(position)
    return isArray(value) ? copyList(value, position, depth) : copyObject(value, position, depth)
  }

  function copyList(list: readonly unknown[], position: Position | null, depth: number): unknown[] {
    if (list.length > maxValues) throw tooLarge(maxBytes)
    const copied: unknown[] = []
    for (let key = 0; key < list.length; key += 1) {
      copied[key] = copy(list[key], { key, holder: list, parent: position }, depth + 1)
    }
    return copied
  }

  function copyObject(holder: object, position: Position | null, depth: number): object {
    const names = keys(holder)
    const opaque = kindOfOpaque(holder, names.length > 0)
    if (opaque !== null) throw notJson(opaque, position)
    // Without a prototype, `__proto__` is an ordinary member.
    const copied = createObject(null) as Record<string, unknown>
    for (let index = 0; index < names.length; index += 1) {
      const key = names[index] as string
      const member = copy(get(holder, key), { key, holder, parent: position }, depth + 1)
      if (member !== undefined) copied[key] = member
    }
    return copied
  }

  try {
    const copied = copy(result, null, 0)
    if (copied === undefined && result !== undefined) throw notJson('an object whose toJSON() returns nothing', null)
    return copied
  } catch (error) {
    // A getter, a proxy or a toJSON() threw.
    throw error instanceof NotJson ? error : notJson(`what throws (${serializeError(error).message})`, current)
  }
}

function jsonOf(value: unknown, position: Position | null): unknown {
  const hasMethods = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (!hasMethods && typeof value !== 'bigint') return value
  const toJson = (value as { toJSON?: unknown }).toJSON
  if (typeof toJson !== 'function') return value
  // JSON.stringify would write null.
  if (isDate(value) && isNaN(getTime(value))) throw notJson('an invalid date', position)
  return apply(toJson, value, [position === null ? '' : toText(position.key)])
}

function unboxed(value: unknown): unknown {
  if (!isBoxedPrimitive(value)) return value
  if (isNumberObject(value)) return numberOf(value)
  if (isStringObject(value)) return stringOf(value)
  return isBooleanObject(value) ? booleanOf(value) : value
}

/** Describes an object that holds more than its members show; null for any other object. */
function kindOfOpaque(value: object, hasMembers: boolean): string | null {
  if (isNativeError(value)) return 'an error'
  if (isPromise(value)) return 'a promise'
  const isBinary = isArrayBufferView(value) || isAnyArrayBuffer(value)
  const isBuiltIn = isMap(value) || isSet(value) || isRegExp(value) || isDate(value) || isBoxedPrimitive(value)
  const prototype = getPrototypeOf(value)
  // The Object.prototype of any realm has no prototype itself.
  const isPlainObject = prototype === null || getPrototypeOf(prototype) === null
  if (!isBinary && !isBuiltIn && (isPlainObject || hasMembers)) return null
  const constructor: unknown = get(value, 'constructor')
  const name: unknown = typeof constructor === 'function' ? get(constructor, 'name') : null
  return `an object of class ${typeof name === 'string' && name !== '' ? name : 'unknown'}`
}

function notJson(what: string, position: Position | null): NotJson {
  return new NotJson(`is not a JSON value: ${what}${position === null ? '' : ` at ${pointerTo(position)}`}`)
}

function tooLarge(maxBytes: number): NotJson {
  return new NotJson(`has more than the ${maxBytes} bytes as JSON that are allowed`)
}

function containsItself(value: object, position: Position | null): boolean {
  for (let each = position; each !== null; each = each.parent) if (each.holder === value) return true
  return false
}

function tooDeep(position: Position | null): NotJson {
  return new NotJson(
    `is nested more than ${maxJsonDepth} levels deep${position === null ? '' : `, at ${pointerTo(position)}`}`,
  )
}

/** A JSON Pointer (RFC 6901), cut when it is long. */
function pointerTo(position: Position): string {
  let pointer = ''
  for (let each: Position | null = position; each !== null; each = each.parent) {
    pointer = `/${replaceAll(replaceAll(toText(each.key), '~', '~0'), '/', '~1')}${pointer}`
  }
  const shown = pointer.length <= maxPointerLength ? pointer : `${slice(pointer, 0, maxPointerLength)}…`
  return toWellFormed(shown)
}
