/**
 * Reuses threads for stores: each has loaded the engine's code before, which takes longer than most tests of a store.
 * Stores that are started outside of `withWarmThreads` get their own threads, as in the service.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import threads, { MessageChannel, Worker, type MessagePort, type WorkerOptions } from 'node:worker_threads'

export interface Begun {
  readonly url: string
  readonly workerData: unknown
  /** Replaces the port of the thread. */
  readonly port: MessagePort
}

// Below, the name `Worker` has another meaning.
const OwnThread = Worker
const isWarm = new AsyncLocalStorage<boolean>()
/** Idle threads. */
const idle: Worker[] = []

function startThread(): Worker {
  return new OwnThread(new URL('./warm-thread.ts', import.meta.url), { execArgv: [] })
}

/** The part of a `Worker` that the store's engines use. */
class WarmThread extends EventEmitter {
  readonly #port: MessagePort

  constructor(url: URL, { workerData }: WorkerOptions = {}) {
    super()
    const thread = idle.pop() ?? startThread()
    const { port1, port2 } = new MessageChannel()
    const onError = (error: Error): void => void this.emit('error', error)
    thread.ref()
    thread.on('error', onError)
    const begun: Begun = { url: url.href, workerData, port: port2 }
    thread.postMessage(begun, [port2])
    port1.on('message', (message) => this.emit('message', message))
    port1.on('close', () => {
      thread.off('error', onError)
      thread.unref()
      idle.push(thread)
      this.emit('exit', 0)
    })
    this.#port = port1
  }

  postMessage(message: unknown): void {
    this.#port.postMessage(message)
  }
}

/** Not for the pool, whose threads a service starts as well. */
function isOfStore(url: URL | string): boolean {
  return String(url).includes('/dist/src/store/')
}

// The engines import `Worker` from Node, and get the current binding of the name.
threads.Worker = new Proxy(OwnThread, {
  construct: (target, given: ConstructorParameters<typeof OwnThread>) =>
    Reflect.construct(isWarm.getStore() === true && isOfStore(given[0]) ? WarmThread : target, given),
})
syncBuiltinESMExports()

/** Every store that is opened in the callback gets warm threads. */
export function withWarmThreads<Value>(open: () => Value): Value {
  return isWarm.run(true, open)
}
