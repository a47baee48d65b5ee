/**
 * Loaded into a server's process before its own code: watches how late the main thread's event loop comes to a timer
 * of one millisecond, and tells its parent when asked. The same for every contender that runs on Node.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/** Of the time since the last `reset`. A stall is told up to a millisecond too short. */
export interface LoopDelays {
  readonly p99Ms: number
  readonly maxMs: number
}

const resolutionMs = 1
const nsPerMs = 1_000_000

if (isMainThread && process.send !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  // The histogram holds the time between two timers.
  const ms = (ns: number): number => Math.max(0, ns / nsPerMs - resolutionMs)
  process.on('message', (word) => {
    if (word === 'reset') histogram.reset()
    // Told for a reset too: what the parent does next is then behind it.
    const delays: LoopDelays = { p99Ms: ms(histogram.percentile(99)), maxMs: ms(histogram.max) }
    process.send?.(delays)
  })
  // The server ends as it would without this.
  process.channel?.unref()
}
