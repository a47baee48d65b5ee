/**
 * Loaded into a server's process before its own code. It measures how late a timer of one millisecond fires on the
 * main thread's event loop, and reports to its parent on request. It is the same for every contender on Node.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/** Since the last `reset`. A stall is reported up to a millisecond too short. */
export interface LoopDelays {
  readonly p99Ms: number
  readonly maxMs: number
}

const resolutionMs = 1
const nsPerMs = 1_000_000

if (isMainThread && process.send !== undefined) {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  // The histogram contains the time between two timers.
  const ms = (ns: number): number => Math.max(0, ns / nsPerMs - resolutionMs)
  process.on('message', (word) => {
    if (word === 'reset') histogram.reset()
    // A reset is confirmed too, so that what the parent does next comes after it.
    const delays: LoopDelays = { p99Ms: ms(histogram.percentile(99)), maxMs: ms(histogram.max) }
    process.send?.(delays)
  })
  // The monitor must not keep the server alive.
  process.channel?.unref()
}
