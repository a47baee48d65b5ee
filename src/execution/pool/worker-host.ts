/**
 * The adapter to Piscina: a host for one thread, which is replaced whenever it has ended. What Piscina does is known here
 * only:
 *
 * - A Piscina starts one thread, and the next thread gets a new Piscina. Otherwise Piscina would start that thread in its
 *   own handler of the last one's end, where an error (the system has no free thread) cannot be caught.
 * - No job waits in Piscina's queue, because a job is sent only to a thread that is ready.
 * - No job carries an AbortSignal, because those bypass Piscina's limits. `terminate()` kills a thread.
 */
import { Piscina } from 'piscina'
import type { Worker } from 'node:worker_threads'
import type { JobError } from '../../domain/job.ts'
import { serializeError } from '../../runtime/serialize-error.ts'
import type { PingMessage, ThreadData, ToThread } from './pool-messages.ts'

export interface WorkerHostOptions {
  /** Jobs at once on the thread. */
  readonly jobs: number
  readonly data: ThreadData
  /** V8's own limit, in MiB. */
  readonly maxHeapMb: number
  /** Command-line flags of Node for the thread. */
  readonly flags: readonly string[]
  /** A thread is there and takes jobs. */
  readonly onReady: () => void
  /** The thread has an uncaught error and is about to end. */
  readonly onFailing: () => void
  /** The thread has ended and a new one follows. Its jobs are rejected in the microtasks after this, by uncaught errors before. */
  readonly onGone: () => void
  /** A thread that was given up has ended. */
  readonly onGivenUpGone: () => void
  /** An error that belongs to no job. */
  readonly onError: (error: unknown) => void
  /** A message that is no reply. */
  readonly onMessage: (message: unknown) => void
}

/** V8's own default is 192 MiB, which garbage fills under load. */
const maxYoungGenerationSizeMb = 48
/** The pause before a thread that failed to load is tried again. */
const reopenAfterMs = 1_000
const ping: PingMessage = { type: 'ping' }
const entry = new URL(import.meta.url.endsWith('.ts') ? './worker-entry.ts' : './worker-entry.js', import.meta.url).href

export interface WorkerHost {
  /** Resolves when the first thread is ready; rejects when it cannot be loaded. */
  start(): Promise<void>
  /** Sends to the thread, and resolves with its reply. Rejects when no thread is ready, or when it ends before it replies. */
  send(message: ToThread): Promise<unknown>
  /** Bytes of heap and external memory that the thread holds; rejects when it ends. */
  memory(): Promise<number>
  /** Kills the thread; `onGone` follows when it has really ended, which native code can delay. */
  terminate(): void
  /** Goes on without a terminated thread that does not end: `onGone` is called now, and a new thread follows. */
  giveUp(): void
  /** Ends the thread for good; later sends are refused, and `onGone` is not called. */
  destroy(): Promise<void>
  /** False for a child process that no job has needed yet. */
  isStarted(): boolean
}

export function createWorkerHost(options: WorkerHostOptions): WorkerHost {
  const { promise: started, resolve: onStarted, reject: onNotStarted } = Promise.withResolvers<void>()
  let piscina: Piscina | null = null
  /** The thread that takes jobs; null before it is ready. */
  let worker: Worker | null = null
  let reopening: NodeJS.Timeout | undefined
  let hasStarted = false
  let isDestroyed = false

  function open(): void {
    try {
      piscina = createPiscina()
    } catch (error) {
      // The system has no free thread at the moment.
      reportFailure(error)
      reopenLater()
    }
  }

  /** The first thread's failure rejects `start`. */
  function reportFailure(error: unknown): void {
    if (hasStarted) options.onError(error)
    else onNotStarted(error)
  }

  function createPiscina(): Piscina {
    const created = new Piscina({
      filename: entry,
      minThreads: 1,
      maxThreads: 1,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: options.jobs,
      atomics: 'disabled',
      recordTiming: false,
      workerData: options.data,
      resourceLimits: { maxOldGenerationSizeMb: options.maxHeapMb, maxYoungGenerationSizeMb },
      execArgv: [...options.flags],
      loadBalancer(_message, [only]) {
        // Returning null would queue the message. A ping goes to a thread that has no room for another job, too.
        if (only === undefined) throw new Error('no thread')
        return only
      },
    })
    // Without a listener, an error that belongs to no job would end the process.
    created.on('error', options.onError)
    created.on('message', options.onMessage)
    created.on('workerCreate', () => void takeWhenLoaded(created))
    created.on('workerDestroy', () => {
      // The `exit` event of a thread that was taken opens the next one.
      if (piscina === created && worker === null) reopenLater()
    })
    created.options.minThreads = 0
    return created
  }

  /** Piscina reports its first thread before the thread is loaded, so a thread must reply before it takes jobs. */
  async function takeWhenLoaded(created: Piscina): Promise<void> {
    const [loaded] = created.threads
    if (loaded === undefined) return
    try {
      // Piscina reports a thread just before it can be sent a message.
      await Promise.resolve()
      await created.run(ping)
    } catch (error) {
      if (!isDestroyed) reportFailure(error)
      return
    }
    if (!isDestroyed) take(loaded)
  }

  function take(loaded: Worker): void {
    // The thread has ended meanwhile.
    if (loaded.threadId === -1) return reopenLater()
    worker = loaded
    loaded.once('error', () => {
      if (worker === loaded) options.onFailing()
    })
    loaded.once('exit', () => {
      if (worker === loaded) replace()
      else options.onGivenUpGone()
    })
    hasStarted = true
    options.onReady()
    onStarted()
  }

  function replace(): void {
    worker = null
    if (isDestroyed) return
    options.onGone()
    open()
  }

  function reopenLater(): void {
    if (isDestroyed) return
    clearTimeout(reopening)
    reopening = setTimeout(open, reopenAfterMs)
  }

  function currentWorker(): Worker {
    if (isDestroyed || worker === null) throw new Error('no thread')
    return worker
  }

  return {
    start() {
      open()
      return started
    },
    async send(message) {
      const [current] = piscina?.threads ?? []
      // A thread that is ending is no longer among Piscina's.
      if (current !== currentWorker()) throw new Error('no thread')
      const reply: unknown = await piscina?.run(message)
      return reply
    },
    async memory() {
      const { used_heap_size: heapBytes, external_memory: externalBytes } = await currentWorker().getHeapStatistics()
      return heapBytes + externalBytes
    },
    terminate: (): void => void worker?.terminate(),
    giveUp() {
      if (worker !== null && !isDestroyed) replace()
    },
    async destroy() {
      isDestroyed = true
      clearTimeout(reopening)
      await piscina?.destroy()
    },
    isStarted: () => true,
  }
}

const exitPattern = /^worker exited with code: (?<code>-?\d+)$/

/**
 * The error of a job whose thread ended, or lives and could not reply. How the thread ended is read from the message of
 * Piscina's error, because nothing else says so (Piscina 5.3).
 */
export function describeNoReply(thrown: unknown, isAlive: boolean): JobError {
  const { message, ...rest } = serializeError(thrown)
  if (isAlive) return { ...rest, code: 'crashed', message: `the thread could not reply: ${message}` }
  const exitCode = exitPattern.exec(message)?.groups?.['code']
  if (exitCode !== undefined) {
    return { code: 'crashed', message: `the thread exited with code ${exitCode}`, exitCode: Number(exitCode) }
  }
  if (rest.taskCode === 'ERR_WORKER_OUT_OF_MEMORY') {
    return { code: 'out_of_memory', message: 'the thread reached its heap limit' }
  }
  return { ...rest, code: 'crashed', message: `the thread died of an uncaught error: ${message}` }
}

/** The value of these flags follows "=", or is the next argument. */
const flagsWithValue = new Set([
  '--import',
  '--require',
  '-r',
  '--conditions',
  '-C',
  '--loader',
  '--experimental-loader',
])
/** With or without `no-`. Other flags apply to the whole process, or must not apply twice (`--inspect`). */
const flagsWithoutValue = new Set([
  '--enable-source-maps',
  '--experimental-addon-modules',
  '--experimental-detect-module',
  '--experimental-import-meta-resolve',
  '--experimental-require-module',
  '--experimental-strip-types',
  '--experimental-transform-types',
  '--experimental-vm-modules',
  '--experimental-wasm-modules',
  '--preserve-symlinks',
  '--strip-types',
])

/** The flags of the process that its threads get too: those that decide how a module is found, loaded and traced. */
export function threadFlags(processFlags: readonly string[]): string[] {
  return processFlags.flatMap((flag, index) => {
    const name = flag.split('=', 1)[0] ?? ''
    if (flagsWithoutValue.has(flag.replace('--no-', '--')) || (flagsWithValue.has(name) && name !== flag)) return [flag]
    return flagsWithValue.has(flag) ? [flag, ...processFlags.slice(index + 1, index + 2)] : []
  })
}
