/** `@opentelemetry/api`, where this thread has an SDK that it leads to; else it is not even loaded. */

/** What the API keeps there, in its first version as in all so far, is there when an SDK was registered. */
const registered = Symbol.for('opentelemetry.js.api.1')
let loading: Promise<typeof import('@opentelemetry/api') | null> | undefined

export function hasSdk(): boolean {
  return Reflect.get(Object(Reflect.get(globalThis, registered)), 'trace') !== undefined
}

/** @returns null where there is none to be found */
export function loadApi(): Promise<typeof import('@opentelemetry/api') | null> {
  return (loading ??= import('@opentelemetry/api').catch(() => null))
}
