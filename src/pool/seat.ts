/**
 * The adapter to Piscina: a fixed number of threads of one kind, each known by its place. Only here is it known how
 * Piscina behaves. Nothing ever waits in Piscina's own queue, because a job is sent only to a place that is ready,
 * and no job carries an AbortSignal, because those bypass its limits; a thread is killed by `terminate()`.
 */
import { Piscina } from 'piscina'
import type { Worker } from 'node:worker_threads'
import type { ThreadData, ToThread } from './messages.ts'

export interface ThreadGroupOptions {
  readonly threads: number
  readonly jobsPerThread: number
  readonly data: ThreadData
  /** V8's own limit per thread, in MiB. */
  readonly maxHeapMb: number
  /** A place has a thread that takes jobs. */
  readonly onReady: (place: number) => void
  /** The thread at a place died of an uncaught error and is about to be gone. */
  readonly onFailing: (place: number) => void
  /** A place lost its thread; a new one follows. All its jobs have been rejected or are about to be. */
  readonly onGone: (place: number) => void
  /** Something went wrong that belongs to no job. */
  readonly onError: (error: Error) => void
  /** A thread said something on its own. */
  readonly onMessage: (message: unknown) => void
}

export interface ThreadGroup {
  /** Sends to the thread at `place`, which must be ready; rejects when that thread dies. */
  send(place: number, message: ToThread): Promise<unknown>
  /** Bytes of heap and external memory that the thread at `place` holds; rejects when it dies. */
  memory(place: number): Promise<number>
  /** Ends the thread at `place`; `onGone` says when it is really gone, which native code can delay. */
  terminate(place: number): void
  /** Ends every thread; later sends are refused. */
  destroy(): Promise<void>
}

export function createThreadGroup(options: ThreadGroupOptions): ThreadGroup {
  const places: (Worker | null)[] = Array.from({ length: options.threads }, () => null)
  const entry = import.meta.url.endsWith('.ts') ? './thread.ts' : './thread.js'
  const unseated: Worker[] = []
  let target = 0
  let isDestroyed = false

  const piscina = new Piscina({
    filename: new URL(entry, import.meta.url).href,
    minThreads: options.threads,
    maxThreads: options.threads,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: options.jobsPerThread,
    atomics: 'disabled',
    recordTiming: false,
    workerData: options.data,
    resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMb },
    // Node strips types by itself: a loader inherited from the main thread would only make the start slower.
    execArgv: [],
    loadBalancer(_task, workers) {
      // Called synchronously by run(), so `target` is the one that send() has just set. Null would queue the job.
      const worker = workers.find(({ id }) => id === target)
      if (worker === undefined) throw new Error('no thread')
      return worker
    },
  })
  // Without a listener an error that belongs to no job would end the process.
  piscina.on('error', options.onError)
  piscina.on('message', options.onMessage)
  piscina.on('workerCreate', ({ id }: { id: number }) => {
    // Said when the thread has loaded its entry: only now would Piscina send it something.
    const worker = piscina.threads.find(({ threadId }) => threadId === id)
    if (worker === undefined) return
    unseated.push(worker)
    seat()
  })

  /** Gives loaded threads a place as far as there are free ones: a new thread can come before the old one is gone. */
  function seat(): void {
    for (let place = places.indexOf(null); place !== -1 && unseated.length > 0; place = places.indexOf(null)) {
      const worker = unseated.shift()
      if (worker === undefined || worker.threadId === -1) continue
      const taken = place
      places[taken] = worker
      worker.once('error', () => options.onFailing(taken))
      worker.once('exit', () => {
        places[taken] = null
        options.onGone(taken)
        seat()
      })
      options.onReady(taken)
    }
  }

  return {
    async send(place, message) {
      const worker = places[place]
      if (isDestroyed || worker === null || worker === undefined) throw new Error('no thread')
      target = worker.threadId
      const outcome: unknown = await piscina.run(message)
      return outcome
    },
    async memory(place) {
      const worker = places[place]
      if (worker === null || worker === undefined) throw new Error('no thread')
      const { used_heap_size: heapBytes, external_memory: externalBytes } = await worker.getHeapStatistics()
      return heapBytes + externalBytes
    },
    terminate: (place) => void places[place]?.terminate(),
    async destroy() {
      isDestroyed = true
      await piscina.destroy()
    },
  }
}
