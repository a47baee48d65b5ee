/** How late the event loop comes to its timers, in the minute under way. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds. */
export interface LoopDelays {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface LoopDelay {
  read(): LoopDelays
  stop(): void
}

const nsPerMs = 1_000_000
const windowMs = 60_000
const samplePeriodMs = 10

export function createLoopDelay(): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: samplePeriodMs })
  histogram.enable()
  const window = setInterval(() => histogram.reset(), windowMs).unref()
  // The histogram holds the time between two samples. With two decimals.
  const ms = (ns: number): number => Math.max(0, Math.round((ns / nsPerMs - samplePeriodMs) * 100) / 100)

  return {
    read: () => ({ p50: ms(histogram.percentile(50)), p99: ms(histogram.percentile(99)), max: ms(histogram.max) }),
    stop() {
      clearInterval(window)
      histogram.disable()
    },
  }
}
