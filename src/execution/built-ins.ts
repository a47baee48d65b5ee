/** The built-ins that a task's result can depend on, as the objects that hold them. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import timers from 'node:timers'
import timersPromises from 'node:timers/promises'
import { MessagePort } from 'node:worker_threads'

/**
 * Not included: what Node loads at its first use (the classes of `fetch`, streams, `crypto`), because a look would load it;
 * the console; and functions of Node's modules, except those that fake timers replace.
 */
const constructors = words(`
  Object Function Array String Number Boolean Symbol BigInt Date RegExp Promise Map Set WeakMap WeakSet WeakRef
  FinalizationRegistry Proxy Iterator Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError
  URIError ArrayBuffer SharedArrayBuffer DataView Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array
  Uint32Array Float32Array Float64Array BigInt64Array BigUint64Array Buffer URL URLSearchParams TextEncoder TextDecoder
  AbortController AbortSignal Event EventTarget
`)
const namespaces = words('JSON Math Reflect Atomics Intl')
const functions = words(`
  parseInt parseFloat isNaN isFinite encodeURI encodeURIComponent decodeURI decodeURIComponent atob btoa setTimeout
  setInterval setImmediate clearTimeout clearInterval clearImmediate queueMicrotask structuredClone
`)

/** Watched properties of the global object. */
export const globalNames: readonly string[] = [...constructors, ...namespaces, ...functions, 'globalThis', 'process']

export const processNames = words('hrtime nextTick cwd uptime memoryUsage emit exit reallyExit')

/** Properties that these objects do not own, and that would change the behaviour of code everywhere. */
export const absent: readonly (readonly [name: string, holder: object, keys: readonly PropertyKey[]])[] = [
  [
    'Object.prototype',
    Object.prototype,
    ['toJSON', 'then', 'get', 'set', 'value', 'writable', 'enumerable', 'configurable', 'done', 'next', 'length'],
  ],
  ['Object.prototype', Object.prototype, [Symbol.iterator, Symbol.toPrimitive, Symbol.toStringTag, Symbol.species]],
  ['Array.prototype', Array.prototype, ['toJSON', 'then', '0', Symbol.toPrimitive, Symbol.isConcatSpreadable]],
  ['Function.prototype', Function.prototype, ['toJSON', 'then']],
  ['performance', performance, ['now']],
  ['Promise.prototype', Promise.prototype, ['toJSON']],
  ['String.prototype', String.prototype, ['toJSON', 'then']],
  ['Number.prototype', Number.prototype, ['toJSON', 'then']],
  ['Boolean.prototype', Boolean.prototype, ['toJSON', 'then']],
]

/** Prototypes that must stay extensible, and keep their own prototype. */
export const bases: readonly object[] = [Object, Array, Function, Promise, Map, Set, String, Number, RegExp, Error].map(
  ({ prototype }): object => prototype as object,
)

/** Objects whose properties are watched, by their name in reports. */
export function findHolders(): ReadonlyMap<string, object> {
  const holders = new Map<string, object>()
  const add = (name: string, value: unknown): void => {
    if ((typeof value === 'object' && value !== null) || typeof value === 'function') holders.set(name, value)
  }
  for (const name of constructors) {
    const value: unknown = Reflect.get(globalThis, name)
    add(name, value)
    add(`${name}.prototype`, Reflect.get(Object(value), 'prototype'))
  }
  for (const name of namespaces) add(name, Reflect.get(globalThis, name))
  for (const [name, value] of findUnnamed()) add(name, value)
  for (const name of ['DateTimeFormat', 'NumberFormat', 'Collator'] as const) {
    add(`Intl.${name}`, Intl[name])
    add(`Intl.${name}.prototype`, Intl[name].prototype)
  }
  add('Performance.prototype', Reflect.getPrototypeOf(performance))
  add('EventEmitter.prototype', EventEmitter.prototype)
  add('AsyncLocalStorage', AsyncLocalStorage)
  add('AsyncLocalStorage.prototype', AsyncLocalStorage.prototype)
  add('MessagePort.prototype', MessagePort.prototype)
  add('timers', timers)
  add('timers/promises', timersPromises)
  return holders
}

/** Objects that no global name leads to. */
function findUnnamed(): [string, unknown][] {
  const prototypeOf = (value: object | null): object | null => (value === null ? null : Reflect.getPrototypeOf(value))
  const arrayIterator = prototypeOf([].values())
  const generator = prototypeOf(prototypeOf((function* () {})()))
  const asyncGenerator = prototypeOf(prototypeOf((async function* () {})()))
  return [
    ['ArrayIterator', arrayIterator],
    ['MapIterator', prototypeOf(new Map().values())],
    ['SetIterator', prototypeOf(new Set().values())],
    ['StringIterator', prototypeOf(''[Symbol.iterator]())],
    ['RegExpStringIterator', prototypeOf('a'.matchAll(/a/g))],
    ['Generator', generator],
    ['AsyncGenerator', asyncGenerator],
    ['AsyncIterator', prototypeOf(asyncGenerator)],
    ['AsyncFunction', prototypeOf(async () => {})],
    ['TypedArray', prototypeOf(Int8Array)],
    ['TypedArray.prototype', prototypeOf(Int8Array.prototype)],
  ]
}

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}
