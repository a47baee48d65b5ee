/**
 * The adapter to Piscina: a host for one thread, which is replaced whenever it is gone. Only here is it known how
 * Piscina behaves. Each thread has a Piscina of its own, which starts no second one: it would do so while it handles the
 * end of the first, where nobody can catch that the system has no thread left. Nothing ever waits in Piscina's own queue,
 * because a job is sent only to a thread that is ready, and no job carries an AbortSignal, because those bypass its
 * limits; a thread is killed by `terminate()`.
 */
import { Piscina } from 'piscina'
import type { Worker } from 'node:worker_threads'
import type { JobError } from '../../domain/job.ts'
import { serializeError } from '../../runtime/serialize-error.ts'
import type { PingMessage, ThreadData, ToThread } from './pool-messages.ts'

export interface WorkerHostOptions {
  /** Jobs on the thread. */
  readonly jobs: number
  readonly data: ThreadData
  /** V8's own limit, in MiB. */
  readonly maxHeapMb: number
  /** Command-line flags of Node for the thread. */
  readonly flags: readonly string[]
  /** The host has a thread that takes jobs. */
  readonly onReady: () => void
  /** The thread died of an uncaught error and is about to be gone. */
  readonly onFailing: () => void
  /** The thread is gone; a new one follows. All its jobs have been rejected or are about to be. */
  readonly onGone: () => void
  /** A thread that was given up has ended after all. */
  readonly onGivenUpGone: () => void
  /** Something went wrong that belongs to no job. */
  readonly onError: (error: unknown) => void
  /** The thread said something on its own. */
  readonly onMessage: (message: unknown) => void
}

/** V8's own bound is 192 MiB, which garbage fills under load. */
const maxYoungGenerationSizeMb = 48
/** How long to wait before a thread that failed to load is tried again. */
const reopenAfterMs = 1_000
const ping: PingMessage = { type: 'ping' }
const entry = new URL(import.meta.url.endsWith('.ts') ? './worker-entry.ts' : './worker-entry.js', import.meta.url).href

export interface WorkerHost {
  /** Resolves when the first thread is ready; rejects when it cannot be loaded. */
  start(): Promise<void>
  /** Sends to the thread, which must be ready; rejects when it dies. */
  send(message: ToThread): Promise<unknown>
  /** Bytes of heap and external memory that the thread holds; rejects when it dies. */
  memory(): Promise<number>
  /** Ends the thread; `onGone` says when it is really gone, which native code can delay. */
  terminate(): void
  /** Goes on without a thread that was terminated and does not end: `onGone` is called now, and a new one follows. */
  giveUp(): void
  /** Ends the thread for good; later sends are refused, and `onGone` says nothing. */
  destroy(): Promise<void>
  /** Whether there is no thread, because there was nothing to do for it. */
  isCold(): boolean
}

export function createWorkerHost(options: WorkerHostOptions): WorkerHost {
  const { promise: started, resolve: onStarted, reject: onNotStarted } = Promise.withResolvers<void>()
  let piscina: Piscina | null = null
  let worker: Worker | null = null
  let reopening: NodeJS.Timeout | undefined
  let hasStarted = false
  let isDestroyed = false

  function open(): void {
    try {
      piscina = make()
    } catch (error) {
      // The system has no thread left, for now.
      miss(error)
      reopenLater()
    }
  }

  /** `start` reports those of the first thread. */
  function miss(error: unknown): void {
    if (hasStarted) options.onError(error)
    else onNotStarted(error)
  }

  function make(): Piscina {
    const made = new Piscina({
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
        // Null would queue it. The thread may have more on it than it has room for jobs: a ping.
        if (only === undefined) throw new Error('no thread')
        return only
      },
    })
    // Without a listener an error that belongs to no job would end the process.
    made.on('error', options.onError)
    made.on('message', options.onMessage)
    made.on('workerCreate', () => void welcome(made))
    made.on('workerDestroy', () => {
      // One that was taken is followed when it is really gone.
      if (piscina === made && worker === null) reopenLater()
    })
    made.options.minThreads = 0
    return made
  }

  /** Piscina reports its first thread before that is loaded, so each one has to reply before it takes jobs. */
  async function welcome(made: Piscina): Promise<void> {
    const [loaded] = made.threads
    if (loaded === undefined) return
    try {
      // Piscina reports a thread just before it would send it something.
      await Promise.resolve()
      await made.run(ping)
    } catch (error) {
      if (!isDestroyed) miss(error)
      return
    }
    if (!isDestroyed) take(loaded)
  }

  function take(loaded: Worker): void {
    // It may be gone by now.
    if (loaded.threadId === -1) return reopenLater()
    worker = loaded
    loaded.once('error', () => {
      if (worker === loaded) options.onFailing()
    })
    loaded.once('exit', () => {
      if (worker === loaded) follow()
      else options.onGivenUpGone()
    })
    hasStarted = true
    options.onReady()
    onStarted()
  }

  function follow(): void {
    worker = null
    // A thread that was ended for good has no successor.
    if (isDestroyed) return
    options.onGone()
    open()
  }

  function reopenLater(): void {
    if (isDestroyed) return
    clearTimeout(reopening)
    reopening = setTimeout(open, reopenAfterMs)
  }

  function threadNow(): Worker {
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
      // One that is ending is no longer Piscina's.
      if (current !== threadNow()) throw new Error('no thread')
      const reply: unknown = await piscina?.run(message)
      return reply
    },
    async memory() {
      const { used_heap_size: heapBytes, external_memory: externalBytes } = await threadNow().getHeapStatistics()
      return heapBytes + externalBytes
    },
    terminate: (): void => void worker?.terminate(),
    giveUp() {
      if (worker !== null && !isDestroyed) follow()
    },
    async destroy() {
      isDestroyed = true
      clearTimeout(reopening)
      await piscina?.destroy()
    },
    isCold: () => false,
  }
}

const exitPattern = /^worker exited with code: (?<code>-?\d+)$/
const outOfMemoryCode = 'ERR_WORKER_OUT_OF_MEMORY'

/** How a thread ended, read from Piscina's error: only the message of that says so (piscina 5.3); or why one that lives has not replied. */
export function describeNoReply(thrown: unknown, isAlive: boolean): JobError {
  const { message, ...rest } = serializeError(thrown)
  if (isAlive) return { ...rest, code: 'crashed', message: `the thread could not reply: ${message}` }
  const code = exitPattern.exec(message)?.groups?.['code']
  if (code !== undefined) {
    return { code: 'crashed', message: `the thread exited with code ${code}`, exitCode: Number(code) }
  }
  if (rest.taskCode === outOfMemoryCode) return { code: 'out_of_memory', message: 'the thread reached its heap limit' }
  return { ...rest, code: 'crashed', message: `the thread died of an uncaught error: ${message}` }
}

/** Their value follows "=", or is the next argument. */
const withValue = new Set(['--import', '--require', '-r', '--conditions', '-C', '--loader', '--experimental-loader'])
/** With or without `no-` in their name. Others are of the process alone, or must not begin twice (`--inspect`). */
const alone = new Set([
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

/** Which flags of the process its threads get too: those that decide how a module is found, loaded and traced. */
export function threadFlags(processFlags: readonly string[]): string[] {
  const flags: string[] = []
  for (const [index, flag] of processFlags.entries()) {
    const name = flag.split('=', 1)[0] ?? ''
    if (alone.has(flag.replace('--no-', '--')) || (withValue.has(name) && name !== flag)) flags.push(flag)
    else if (withValue.has(flag)) flags.push(flag, ...processFlags.slice(index + 1, index + 2))
  }
  return flags
}
