/**
 * Kills the process when the main thread blocks while it runs first jobs or loads the modules of tasks. The watch runs on
 * another thread, because nothing on the main thread could do that. The next start runs the job in the pool.
 */
import { Worker } from 'node:worker_threads'
import { createLog } from '../log.ts'

const beatInt = 0
const lengthInt = 1
const headerBytes = 8
const maxNamesBytes = 1_024

/** Memory in which the main thread shows other threads that its loop turns, and which first jobs it runs. */
export function allocateHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + maxNamesBytes)
}

export interface Heartbeat {
  /** Main thread: the loop has turned. */
  beat(): void
  /** Main thread: names what runs now; names beyond 1 KiB are left out. */
  setRunning(names: Iterable<string>): void
  /** Other threads: grows with each beat. */
  beats(): number
  /** Other threads: what the main thread runs; empty when it runs nothing. */
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
    // Copied, because a decoder does not read shared memory.
    running: () => new TextDecoder().decode(bytes.slice(0, Atomics.load(ints, lengthInt))),
  }
}

export interface StallOptions {
  readonly heartbeat: SharedArrayBuffer
  /** How long the main thread may block. */
  readonly stallMs: number
  readonly logLevel: string
}

/** Checks in `stallMs`. They are counted, not timed, so that a suspended machine is no stall. */
const checksPerStall = 5

export function watchForStall({ heartbeat: buffer, stallMs, logLevel }: StallOptions): { stop(): void } {
  const heartbeat = createHeartbeat(buffer)
  const log = createLog(logLevel)
  let seen = heartbeat.beats()
  let misses = 0

  const timer = setInterval(() => {
    const beats = heartbeat.beats()
    misses = beats === seen ? misses + 1 : 0
    seen = beats
    if (misses < checksPerStall) return
    const running = heartbeat.running()
    if (running === '') return
    log.fatal({ stallMs, running }, `the main thread has not turned for ${stallMs} ms while it ran ${running}`)
    process.kill(process.pid, 'SIGKILL')
  }, stallMs / checksPerStall)
  return { stop: () => clearInterval(timer) }
}

/** Watches the main thread until a thread of the store can do it. */
export interface LoadWatch {
  /** The main thread loads this module from now on. */
  begin(path: string): void
  stop(): void
}

const maxBeatMs = 1_000
const beatsPerStall = 2 * checksPerStall
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

/** @returns null when the thread cannot be started: the start of the service must not fail for that */
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
