/**
 * Ends the process when the main thread's event loop stands still while it runs first jobs. Nothing on the main thread
 * could do that. The next start runs the job in the pool.
 */
import { createHeartbeat } from '../runtime/event-loop.ts'
import { createLog } from '../log.ts'

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
