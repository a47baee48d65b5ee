/**
 * Ends the process when the main thread's event loop stands still while it runs first jobs, or while it loads the modules
 * of tasks. Nothing on the main thread could do that. A first job runs in the pool after the next start.
 */
import { Worker } from 'node:worker_threads'
import { createLog } from '../log.ts'
import { createHeartbeat } from './event-loop.ts'

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
