/** The event loop of a thread: work spread over its turns, or bounded in number, and how late the loop is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/**
 * Runs many small pieces of work a few per turn of the event loop, in order, so that a burst does not hold up timers
 * and sockets for as long as all of it takes.
 */
export interface TurnScheduler {
  /** Runs the piece in this turn when few came before it, else in a later one. It must not throw. */
  run(piece: () => void): void
}

/** @param perTurn pieces in one turn */
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
        // The next turn counts from zero.
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

/** Lets a few pieces of work be under way at once; the others wait in their order. */
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
      // Its place is handed on.
      if (next === undefined) running -= 1
      else next()
    }
  }
}

// How late the event loop comes to its timers.

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
