/** The event loop of a thread: work spread over its turns, or bounded in number, and how late the loop is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/**
 * Runs many small pieces of work a few per turn of the event loop, in order, so that a burst does not hold up timers
 * and sockets for as long as all of it takes.
 */
export interface TurnScheduler {
  /** Runs the piece in this turn if few ran before it, else in a later turn. The piece must not throw. */
  run(piece: () => void): void
}

/** @param perTurn how many pieces run in one turn */
export function createTurnScheduler(perTurn: number): TurnScheduler {
  let pieces: (() => void)[] = []
  let next = 0
  let spent = 0
  let isScheduled = false

  function turn(): void {
    isScheduled = false
    spent = 0
    while (next < pieces.length && spent < perTurn) {
      spent += 1
      pieces[next]?.()
      next += 1
    }
    if (next < pieces.length) schedule()
    else {
      pieces = []
      next = 0
    }
  }

  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    setImmediate(turn)
  }

  return {
    run(piece) {
      if (next === pieces.length && spent < perTurn) {
        spent += 1
        // The next turn sets `spent` back to 0.
        schedule()
        piece()
        return
      }
      pieces.push(piece)
      schedule()
    },
  }
}

export type Gate = <Value>(work: () => Promise<Value>) => Promise<Value>

/** Limits how many pieces of work run at once; the others wait in order. */
export function createGate(atOnce: number): Gate {
  const waiting: (() => void)[] = []
  let running = 0

  return async (work) => {
    if (running >= atOnce) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      // The next one runs instead, so `running` stays the same.
      if (next !== undefined) next()
      else running -= 1
    }
  }
}

/** How late the event loop runs its timers, in milliseconds. */
export interface LoopDelays {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface LoopDelay {
  /** The delays in the current window. */
  read(): LoopDelays
  /** The delays in the current window; begins a new window. */
  take(): LoopDelays
  stop(): void
}

const nsPerMs = 1_000_000
const minuteMs = 60_000
const samplePeriodMs = 10

/** @param windowMs how long a window lasts; Infinity: until `take` */
export function createLoopDelay(windowMs = minuteMs): LoopDelay {
  const histogram = monitorEventLoopDelay({ resolution: samplePeriodMs })
  histogram.enable()
  const window = windowMs === Infinity ? undefined : setInterval(() => histogram.reset(), windowMs).unref()
  // The histogram holds the time between two samples. Rounded to two decimals.
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
