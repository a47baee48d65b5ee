/**
 * The threads of stores, begun again in a thread that has loaded their code: to load it takes longer than most tests of a
 * store. What is started outside of `withWarmThreads` gets threads of its own, as in the service.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { EventEmitter } from 'node:events'
import { syncBuiltinESMExports } from 'node:module'
import threads, { MessageChannel, Worker, type MessagePort, type WorkerOptions } from 'node:worker_threads'

export interface Begun {
  readonly url: string
  readonly workerData: unknown
  /** Stands in for the port of the thread. */
  readonly port: MessagePort
}

// Below, the name stands for something else.
const OwnThread = Worker
const isWarm = new AsyncLocalStorage<boolean>()
/** Those that nothing runs in now. */
const idle: Worker[] = []

function startThread(): Worker {
  return new OwnThread(new URL('./warm-thread.ts', import.meta.url), { execArgv: [] })
}

/** As much of a `Worker` as the engines of the store use. */
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

/** And not of the pool, of which a service starts threads as well. */
function isOfStore(url: URL | string): boolean {
  return String(url).includes('/dist/src/store/')
}

// The engines import the name from Node, and get what stands behind it at the time.
threads.Worker = new Proxy(OwnThread, {
  construct: (target, given: ConstructorParameters<typeof OwnThread>) =>
    Reflect.construct(isWarm.getStore() === true && isOfStore(given[0]) ? WarmThread : target, given),
})
syncBuiltinESMExports()

/** Whatever store is opened in it gets warm threads. */
export function withWarmThreads<Value>(open: () => Value): Value {
  return isWarm.run(true, open)
}
