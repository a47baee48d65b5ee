/**
 * Watches the main thread while it loads the modules of tasks, before there is a store whose thread could: while a module
 * loops, the main thread cannot report it.
 */
import { Worker } from 'node:worker_threads'
import { createHeartbeat } from '../runtime/event-loop.ts'
import type { StallOptions } from './stall-watch.ts'

export interface LoadWatch {
  /** Names the module that the main thread loads from now on. */
  begin(path: string): void
  stop(): void
}

const maxBeatMs = 1_000
/** The watch looks about five times in one stall. */
const beatsPerStall = 10
const entry = import.meta.url.endsWith('.ts') ? './load-watch-thread.ts' : './load-watch-thread.js'

export function watchLoading(options: StallOptions): LoadWatch {
  const heartbeat = createHeartbeat(options.heartbeat)
  const beating = setInterval(heartbeat.beat, Math.min(maxBeatMs, options.stallMs / beatsPerStall)).unref()
  const worker = start(options)
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
function start(workerData: StallOptions): Worker | null {
  try {
    const worker = new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [], name: 'load-watch' })
    worker.on('error', () => {})
    worker.unref()
    return worker
  } catch {
    return null
  }
}
