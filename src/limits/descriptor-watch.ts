/**
 * Notices that the process is about to run out of file descriptors, says so, and has the threads replaced: when a
 * thread ends, Node closes what its tasks have left open. What the main thread's tasks leave open stays. Meanwhile
 * connections and files get what was held back for them.
 */
import type { Log } from '../log.ts'
import { canOpen, closeAll, openSome } from './descriptors.ts'

export interface DescriptorWatch {
  start(): void
  stop(): void
  /** Whether too few are left to promise anything. */
  isShort(): boolean
}

export interface DescriptorWatchOptions {
  /** Called when they run short, at most every ten seconds. */
  readonly onShort: () => void
  /** How many are open. */
  readonly count: () => number
  readonly log: Log
}

/** Trying to open them takes less than a tenth of a millisecond; a count of all that are open can take much longer. */
const fewLeft = 24
const heldBack = 8
/** Until it is noticed, new connections are reset. */
const checkIntervalMs = 250
const shortAgainMs = 10_000

export function createDescriptorWatch({ onShort, count, log }: DescriptorWatchOptions): DescriptorWatch {
  let reserve: number[] = []
  let isShort = false
  let reactedAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined

  function release(): void {
    closeAll(reserve)
    reserve = []
  }

  function check(): void {
    const wasShort = isShort
    isShort = !canOpen(fewLeft)
    if (isShort) release()
    else if (reserve.length === 0) reserve = openSome(heldBack)
    if (isShort && performance.now() - reactedAt > shortAgainMs) {
      reactedAt = performance.now()
      log.warn({ open: count() }, 'file descriptors run short: the threads are to be replaced')
      onShort()
    } else if (wasShort && !isShort) {
      log.info({ open: count() }, 'there are enough file descriptors again')
    }
  }

  return {
    start() {
      timer = setInterval(check, checkIntervalMs).unref()
    },
    stop() {
      clearInterval(timer)
      release()
    },
    isShort: () => isShort,
  }
}
