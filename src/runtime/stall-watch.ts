/**
 * Ends the process when the main thread's event loop stands still while it runs first jobs, or while it loads the modules
 * of tasks. Nothing on the main thread could do that. A first job runs in the pool after the next start.
 */
import { Worker } from 'node:worker_threads'
import { createLog } from '../log.ts'

const beatInt = 0
const lengthInt = 1
const headerBytes = 8
const maxNamesBytes = 1_024

/**
 * Memory in which the main thread shows that its loop turns, and which first jobs it is running, to a thread that can
 * still act when it does not.
 */
export function allocateHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + maxNamesBytes)
}

export interface Heartbeat {
  /** Main: the loop has turned. */
  beat(): void
  /** Main: what runs now; what does not fit into 1 KiB is left out. */
  setRunning(names: Iterable<string>): void
  /** Other thread: grows with each beat. */
  beats(): number
  /** Other thread: what ran when the main thread last said so; empty when nothing did. */
  running(): string
}

export function createHeartbeat(buffer: SharedArrayBuffer): Heartbeat {
  const ints = new Int32Array(buffer, 0, 2)
  const bytes = new Uint8Array(buffer, headerBytes)
  const encoder = new TextEncoder()

  return {
    beat: () => void Atomics.add(ints, beatInt, 1),
    setRunning(names) {
      const { written } = encoder.encodeInto([...names].join(', '), bytes)
      Atomics.store(ints, lengthInt, written)
    },
    beats: () => Atomics.load(ints, beatInt),
    // Copied, because a decoder takes no shared memory.
    running: () => new TextDecoder().decode(bytes.slice(0, Atomics.load(ints, lengthInt))),
  }
}

/** Options for the thread that watches the main thread. */
export interface StallOptions {
  readonly heartbeat: SharedArrayBuffer
  readonly stallMs: number
  readonly logLevel: string
}

/** Looks in one stall. Counted and not timed, so that a suspended machine is no stall. */
const looks = 5

export function watchForStall({ heartbeat: buffer, stallMs, logLevel }: StallOptions): { stop(): void } {
  const heartbeat = createHeartbeat(buffer)
  const log = createLog(logLevel)
  let seen = heartbeat.beats()
  let misses = 0

  const timer = setInterval(() => {
    const beats = heartbeat.beats()
    misses = beats === seen ? misses + 1 : 0
    seen = beats
    if (misses < looks) return
    const running = heartbeat.running()
    if (running === '') return
    log.fatal({ stallMs, running }, `the main thread has not turned for ${stallMs} ms while it ran ${running}`)
    process.kill(process.pid, 'SIGKILL')
  }, stallMs / looks)
  return { stop: () => clearInterval(timer) }
}

/** A watch of the main thread before there is a store, whose thread could watch it. */
export interface LoadWatch {
  /** Names the module that the main thread loads from now on. */
  begin(path: string): void
  stop(): void
}

const maxBeatMs = 1_000
const beatsPerStall = 2 * looks
const entry = import.meta.url.endsWith('.ts') ? './load-watch-thread.ts' : './load-watch-thread.js'

export function watchLoading(options: StallOptions): LoadWatch {
  const heartbeat = createHeartbeat(options.heartbeat)
  const beating = setInterval(heartbeat.beat, Math.min(maxBeatMs, options.stallMs / beatsPerStall)).unref()
  const worker = startThread(options)
  return {
    begin(path) {
      heartbeat.beat()
      heartbeat.setRunning([`the module ${path}`])
    },
    stop() {
      clearInterval(beating)
      heartbeat.setRunning([])
      void worker?.terminate()
    },
  }
}

/** A start without it is better than none. */
function startThread(workerData: StallOptions): Worker | null {
  try {
    const worker = new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [], name: 'load-watch' })
    worker.on('error', () => {})
    worker.unref()
    return worker
  } catch {
    return null
  }
}
