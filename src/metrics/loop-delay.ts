/** How late the event loop comes to its timers. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** Milliseconds. */
export interface LoopDelays {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface LoopDelay {
  /** Of the window under way. */
  read(): LoopDelays
  /** The same, and begins a new one. */
  take(): LoopDelays
  stop(): void
}

const nsPerMs = 1_000_000
const minuteMs = 60_000
const samplePeriodMs = 10

/** @param windowMs Infinity: until it is taken */
export function createLoopDelay(windowMs = minuteMs): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: samplePeriodMs })
  histogram.enable()
  const window = windowMs === Infinity ? undefined : setInterval(() => histogram.reset(), windowMs).unref()
  // The histogram holds the time between two samples. With two decimals.
  const ms = (ns: number): number => Math.max(0, Math.round((ns / nsPerMs - samplePeriodMs) * 100) / 100)

  const read = (): LoopDelays => ({
    p50: ms(histogram.percentile(50)),
    p99: ms(histogram.percentile(99)),
    max: ms(histogram.max),
  })

  return {
    read,
    take() {
      const delays = read()
      histogram.reset()
      return delays
    },
    stop() {
      clearInterval(window)
      histogram.disable()
    },
  }
}
