/** Notices when a task has changed a built-in that other code uses, and can undo it. */
import { absent, bases, findHolders, globalNames, processNames } from './built-ins.ts'

interface Property {
  readonly name: string
  readonly holder: object
  readonly key: PropertyKey
  /** undefined: there was none of its own. */
  readonly descriptor: PropertyDescriptor | undefined
  /** Of one that can be written by its setter: the getter stays the same. */
  readonly written?: unknown
}

interface Inherited {
  readonly base: object
  readonly key: string
}

const { prototype: objectPrototype } = Object
const { prototype: arrayPrototype } = Array
const { prototype: functionPrototype } = Function
const ErrorConstructor = Error
const FunctionConstructor = Function
const { apply, construct, ownKeys, get, set, getOwnPropertyDescriptor, defineProperty, deleteProperty } = Reflect
const { getPrototypeOf, setPrototypeOf, isExtensible } = Reflect
const { create } = Object
const nothing = (): void => {}
const noList: object = []
const propertiesPerPiece = 50

export type Intrinsics = ReturnType<typeof watchIntrinsics>

/** What was added to built-ins before the watch began is left alone: libraries add polyfills. */
export function watchIntrinsics() {
  const properties = listProperties()
  const isAccessor = ({ descriptor, written }: Property): boolean =>
    descriptor !== undefined && !('value' in descriptor) && written === undefined
  const methods = properties.filter((property) => !isAccessor(property))
  const accessors = properties.filter(isAccessor)
  const hasReplaced = createCheck(methods)
  const parents = bases.map((base) => ({ base, parent: getPrototypeOf(base), isOpen: isExtensible(base) }))
  const known = create(null) as Record<string, true>
  for (const base of [{}, noList, nothing]) for (const key in base) known[key] = true

  /** What each object, array or function has inherited since then. */
  function findInherited(): Inherited | null {
    for (const key in {}) if (known[key] !== true) return { base: objectPrototype, key }
    for (const key in noList) if (known[key] !== true) return { base: arrayPrototype, key }
    for (const key in nothing) if (known[key] !== true) return { base: functionPrototype, key }
    return null
  }

  function nameInherited(): string | null {
    const found = findInherited()
    if (found === null) return null
    const kind = found.base === objectPrototype ? 'Object' : found.base === arrayPrototype ? 'Array' : 'Function'
    return `${kind}.prototype.${found.key}`
  }

  function findRebased(): string | null {
    for (let index = 0; index < parents.length; index += 1) {
      const { base, parent, isOpen } = parents[index] as (typeof parents)[number]
      if (isExtensible(base) !== isOpen || getPrototypeOf(base) !== parent)
        return 'a prototype that is frozen or has another one'
    }
    return null
  }

  function findReplaced(): string | null {
    try {
      return (hasReplaced() ? nameIn(methods) : null) ?? nameInherited() ?? findRebased()
    } catch {
      return nameIn(methods) ?? 'a built-in that now throws'
    }
  }

  return {
    /** Names a built-in function that was replaced or removed, or what else was changed of the most basic ones; or null. */
    findReplaced,
    /** As `findReplaced`, and looks at getters too. */
    findChanged: (): string | null => findReplaced() ?? nameIn(accessors),
    /** Makes them again what they were when the watch began. @returns those that cannot be */
    restore(): readonly string[] {
      const left: string[] = []
      for (let index = 0; index < properties.length; index += 1) {
        const property = properties[index] as Property
        if (!isSame(property) && !putBack(property)) left[left.length] = property.name
      }
      for (let found = findInherited(); found !== null; found = findInherited()) {
        if (deleteProperty(found.base, found.key)) continue
        left[left.length] = nameInherited() ?? found.key
        break
      }
      for (let index = 0; index < parents.length; index += 1) {
        const { base, parent } = parents[index] as (typeof parents)[number]
        if (getPrototypeOf(base) !== parent) setPrototypeOf(base, parent)
      }
      const rebased = findRebased()
      if (rebased !== null) left[left.length] = rebased
      return left
    },
  }
}

/**
 * No result depends on how an error's stack is written, and libraries change that: what is left changed is put back.
 * @returns a function that does so
 */
export function watchStacks(): () => void {
  const { stackTraceLimit, prepareStackTrace } = ErrorConstructor
  return () => {
    if (
      ErrorConstructor.stackTraceLimit === stackTraceLimit &&
      ErrorConstructor.prepareStackTrace === prepareStackTrace
    )
      return
    try {
      ErrorConstructor.stackTraceLimit = stackTraceLimit
      if (prepareStackTrace === undefined) deleteProperty(ErrorConstructor, 'prepareStackTrace')
      else ErrorConstructor.prepareStackTrace = prepareStackTrace
    } catch {
      // It was frozen, which is found elsewhere.
    }
  }
}

function listProperties(): Property[] {
  const listed: Property[] = []
  const add = (name: string, holder: object, key: PropertyKey): void => {
    const descriptor = getOwnPropertyDescriptor(holder, key)
    // Other values are constants.
    if (descriptor === undefined || ('value' in descriptor && typeof descriptor.value !== 'function')) return
    listed.push({ name: `${name}.${String(key)}`, holder, key, descriptor })
  }
  for (const [name, holder] of findHolders()) {
    for (const key of ownKeys(holder)) if (key !== 'prototype') add(name, holder, key)
  }
  for (const key of processNames) add('process', process, key)
  add('process.hrtime', process.hrtime, 'bigint')
  for (const [name, holder, keys] of absent) {
    for (const key of keys) {
      if (getOwnPropertyDescriptor(holder, key) === undefined)
        listed.push({ name: `${name}.${String(key)}`, holder, key, descriptor: undefined })
    }
  }
  for (const key of globalNames) {
    const descriptor = getOwnPropertyDescriptor(globalThis, key)
    if (descriptor === undefined) continue
    // Node defines `Buffer` and `process` by setters.
    const written = 'value' in descriptor ? {} : { written: get(globalThis, key) as unknown }
    listed.push({ name: `globalThis.${key}`, holder: globalThis, key, descriptor, ...written })
  }
  return listed
}

/**
 * Code with a place of its own for each property: V8 remembers there where it finds it, which makes the look several
 * times quicker than a loop (measured: 0.4 instead of 6 µs). It is compiled piece by piece, one a look, for compiling
 * all of it would make each thread's start milliseconds longer.
 */
function createCheck(properties: readonly Property[]): () => boolean {
  const pieces: Piece[] = []
  for (let at = 0; at < properties.length; at += propertiesPerPiece) {
    pieces.push(pieceOf(properties.slice(at, at + propertiesPerPiece)))
  }
  const checks = pieces.map(({ loop }) => loop)
  let compiled = 0
  return () => {
    if (compiled < pieces.length) {
      const { source, given, loop } = pieces[compiled] as Piece
      checks[compiled] = compile(source, given) ?? loop
      compiled += 1
    }
    for (let index = 0; index < checks.length; index += 1) if (checks[index]?.() === true) return true
    return false
  }
}

interface Piece {
  /** Names of parameters, and a body. */
  readonly source: readonly string[]
  readonly given: readonly unknown[]
  readonly loop: () => boolean
}

function pieceOf(properties: readonly Property[]): Piece {
  const holders = properties.map(({ holder }) => holder)
  const keys = properties.map(({ key }) => key)
  // Inherited values, where it has none of its own.
  const values: unknown[] = properties.map(({ holder, key }) => get(holder, key))
  const numbered = (letter: string): string[] => properties.map((_, index) => `${letter}${index}`)
  const comparisons = keys.map(
    (key, index) => `o${index}[${typeof key === 'string' ? JSON.stringify(key) : `k${index}`}]!==v${index}`,
  )
  return {
    source: [...numbered('o'), ...numbered('k'), ...numbered('v'), `return()=>${comparisons.join('||')}`],
    given: [...holders, ...keys, ...values],
    loop() {
      for (let index = 0; index < keys.length; index += 1) {
        if (get(holders[index] as object, keys[index] as PropertyKey) !== values[index]) return true
      }
      return false
    },
  }
}

function compile(source: readonly string[], given: readonly unknown[]): (() => boolean) | null {
  try {
    const make = construct(FunctionConstructor, source) as (...values: readonly unknown[]) => () => boolean
    return apply(make, undefined, given)
  } catch {
    // Node was started with --disallow-code-generation-from-strings.
    return null
  }
}

function nameIn(properties: readonly Property[]): string | null {
  for (let index = 0; index < properties.length; index += 1) {
    const property = properties[index] as Property
    if (!isSame(property)) return property.name
  }
  return null
}

function isSame({ holder, key, descriptor, written }: Property): boolean {
  if (written !== undefined && get(holder, key) !== written) return false
  const now = getOwnPropertyDescriptor(holder, key)
  return now?.value === descriptor?.value && now?.get === descriptor?.get && now?.set === descriptor?.set
}

function putBack({ holder, key, descriptor, written }: Property): boolean {
  if (descriptor === undefined) return deleteProperty(holder, key)
  return defineProperty(holder, key, descriptor) && (written === undefined || set(holder, key, written))
}
