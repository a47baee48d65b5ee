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

export function allocateHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + maxNamesBytes)
}

export type Heartbeat = ReturnType<typeof createHeartbeat>

/** Shows other threads that the main thread's loop turns, and what it runs. */
export function createHeartbeat(buffer: SharedArrayBuffer) {
  const ints = new Int32Array(buffer, 0, 2)
  const bytes = new Uint8Array(buffer, headerBytes)
  const encoder = new TextEncoder()

  return {
    /** Main thread: the loop has turned. */
    beat: (): void => void Atomics.add(ints, beatInt, 1),
    /** Main thread: names what runs now; cuts the text at 1 KiB. */
    setRunning(names: Iterable<string>): void {
      const { written } = encoder.encodeInto([...names].join(', '), bytes)
      Atomics.store(ints, lengthInt, written)
    },
    /** Other threads: grows with each beat. */
    beats: (): number => Atomics.load(ints, beatInt),
    /** Other threads: what the main thread runs; empty when it runs nothing. */
    // Copied, because a decoder does not read shared memory.
    running: (): string => new TextDecoder().decode(bytes.slice(0, Atomics.load(ints, lengthInt))),
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

const maxBeatMs = 1_000

/** How often the main thread must beat: twice for each check. */
export function beatEveryMs(stallMs: number): number {
  return Math.min(maxBeatMs, stallMs / checksPerStall / 2)
}

const entry = import.meta.url.endsWith('.ts') ? './load-watch-thread.ts' : './load-watch-thread.js'

/** Watches the main thread until a thread of the store can do it. */
export function watchLoading(options: StallOptions) {
  const heartbeat = createHeartbeat(options.heartbeat)
  const beating = setInterval(heartbeat.beat, beatEveryMs(options.stallMs)).unref()
  const worker = startThread(options)
  return {
    /** The main thread loads this module from now on. */
    begin(path: string): void {
      heartbeat.beat()
      heartbeat.setRunning([`the module ${path}`])
    },
    stop(): void {
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
