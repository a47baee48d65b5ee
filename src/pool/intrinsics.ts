/** Notices when a task has changed the language under everybody's feet: its thread then takes no more jobs. */

// What every task relies on. What was added to it is left alone: libraries add polyfills.
const holders: Readonly<Record<string, object>> = {
  'Function.prototype': Function.prototype,
  'Array.prototype': Array.prototype,
  'Map.prototype': Map.prototype,
  'Promise.prototype': Promise.prototype,
  Object,
  Promise,
  JSON,
  Atomics,
}

const globals = ['Object', 'Array', 'Map', 'Set', 'Promise', 'Error', 'JSON', 'Buffer', 'setTimeout', 'queueMicrotask']

interface Intrinsic {
  readonly name: string
  readonly holder: object
  readonly key: PropertyKey
  readonly value: unknown
}

/** @returns a check that names the first built-in function that was replaced or removed, or null; it costs microseconds. */
export function watchIntrinsics(): () => string | null {
  const { ownKeys, get, getOwnPropertyDescriptor } = Reflect
  const intrinsics: Intrinsic[] = Object.entries(holders).flatMap(([name, holder]) =>
    ownKeys(holder)
      .map((key) => ({ name, holder, key, value: getOwnPropertyDescriptor(holder, key)?.value as unknown }))
      .filter(({ value }) => typeof value === 'function'),
  )
  for (const key of globals)
    intrinsics.push({ name: 'globalThis', holder: globalThis, key, value: get(globalThis, key) })
  return () => {
    try {
      for (const { name, holder, key, value } of intrinsics) {
        if (get(holder, key) !== value) return `${name}.${String(key)}`
      }
      return null
    } catch {
      return 'a built-in that now throws'
    }
  }
}
