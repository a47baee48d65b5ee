/**
 * Leads errors back to the first job whose code they are where Node loses its asynchronous context: in the events of a
 * worker's end, in finalizers, and in promises that WebAssembly rejects.
 */
import type { Worker } from 'node:worker_threads'
import { currentFirstAttempt, type FirstAttempt } from './first-attempt.ts'

/** Call it before any task is loaded. */
export function keepContexts(): void {
  // Emitted in the context of the code that has made it, before any event of its own.
  process.on('worker', keepContextOfWorker)
  keepContextOfFinalizers()
  keepContextOfWebAssembly()
}

function keepContextOfWorker(worker: Worker): void {
  const attempt = currentFirstAttempt.getStore()
  if (attempt === undefined) return
  const { emit } = worker
  worker.emit = (...args: unknown[]) => contain(attempt, () => Boolean(Reflect.apply(emit, worker, args)))
}

/** @returns true where the call throws: as an event, it has been heard */
function contain(attempt: FirstAttempt, call: () => boolean): boolean {
  try {
    return currentFirstAttempt.run(attempt, call)
  } catch (thrown) {
    attempt.blame(thrown)
    return true
  }
}

function keepContextOfFinalizers(): void {
  const value = new Proxy(FinalizationRegistry, {
    construct(target, args: [callback: (held: unknown) => unknown], newTarget) {
      const attempt = currentFirstAttempt.getStore()
      const [callback] = args
      if (attempt === undefined || typeof callback !== 'function') return Reflect.construct(target, args, newTarget)
      const contained = (held: unknown): void => void contain(attempt, () => Boolean(callback(held)))
      return Reflect.construct(target, [contained], newTarget)
    },
  })
  // Where the language is frozen (`--frozen-intrinsics`) this does nothing.
  Reflect.defineProperty(globalThis, 'FinalizationRegistry', { value, writable: true, configurable: true })
}

function keepContextOfWebAssembly(): void {
  // Node's types do not have it.
  const api = Object(Reflect.get(globalThis, 'WebAssembly')) as object
  for (const name of ['compile', 'compileStreaming', 'instantiate', 'instantiateStreaming']) {
    const original: unknown = Reflect.get(api, name)
    if (typeof original !== 'function') continue
    const value = (...args: unknown[]): unknown => {
      const promise: unknown = Reflect.apply(original, api, args)
      // The one that is made here is rejected in the context that is there now.
      return currentFirstAttempt.getStore() === undefined ? promise : (promise as Promise<unknown>).then((made) => made)
    }
    Reflect.defineProperty(api, name, { value, writable: true, configurable: true, enumerable: true })
  }
}
