/**
 * Built-in functions as they were before any task ran. A task can replace the built-ins that the code around it uses. So
 * code that a thread runs between jobs takes its functions from here, calls no method of a value, and iterates by index.
 * Has no imports, so that it can be loaded first.
 */

/** A method as a function of its `this`. */
export const uncurryThis: <This, Rest extends unknown[], Result>(
  method: (this: This, ...rest: Rest) => Result,
) => (self: This, ...rest: Rest) => Result = Function.prototype.bind.bind(Function.prototype.call)

export const { parse, stringify } = JSON
export const { isArray } = Array
export const { hasOwn, keys } = Object
export const { isFinite, isNaN } = Number
export const { floor } = Math
export const { apply, get, getPrototypeOf } = Reflect
export const { byteLength } = Buffer
export const toText = String
export const toNumber = Number
export const toObject = Object
export const later = setImmediate
export const now = performance.now.bind(performance)
export const withResolvers = Promise.withResolvers.bind(Promise)
export const slice = uncurryThis(String.prototype.slice)
export const includes = uncurryThis(String.prototype.includes)
export const split = uncurryThis(String.prototype.split as (this: string, by: string) => string[])
export const isWellFormed = uncurryThis(String.prototype.isWellFormed)
export const toWellFormed = uncurryThis(String.prototype.toWellFormed)
export const replaceAll = uncurryThis(String.prototype.replaceAll as (this: string, what: string, by: string) => string)

/** Whether the value is an object, a list included, and neither null nor a function. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
