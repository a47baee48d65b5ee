/** The event loop of a thread: work spread over its turns, or bounded in number, and how late the loop is. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export type TurnScheduler = ReturnType<typeof createTurnScheduler>

/**
 * Runs many small pieces of work in order, a few in each turn of the event loop, so that a burst does not hold up timers
 * and sockets.
 */
export function createTurnScheduler(piecesPerTurn: number) {
  let pieces: (() => void)[] = []
  let next = 0
  let spent = 0
  let isScheduled = false

  function turn(): void {
    isScheduled = false
    spent = 0
    while (next < pieces.length && spent < piecesPerTurn) {
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
    /** Runs the piece in this turn if few ran before it, else in a later turn. The piece must not throw. */
    run(piece: () => void): void {
      // Also after a piece that runs now: the next turn sets `spent` back to 0.
      schedule()
      if (next < pieces.length || spent >= piecesPerTurn) return void pieces.push(piece)
      spent += 1
      piece()
    },
  }
}

/** Limits how many pieces of work run at once; the others wait in order. */
export function createGate(atOnce: number) {
  const waiting: (() => void)[] = []
  let running = 0

  return async <Value>(work: () => Promise<Value>): Promise<Value> => {
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

const nsPerMs = 1_000_000
const minuteMs = 60_000
const samplePeriodMs = 10

export type LoopDelay = ReturnType<typeof createLoopDelay>

/** @param windowMs how long a window lasts; Infinity: until `take` */
export function createLoopDelay(windowMs = minuteMs) {
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
    /** The delays in the current window. */
    read,
    /** The delays in the current window; begins a new window. */
    take(): LoopDelays {
      const delays = read()
      histogram.reset()
      return delays
    },
    stop(): void {
      clearInterval(window)
      histogram.disable()
    },
  }
}
