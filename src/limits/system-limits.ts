/** What the system lets the process have, and what to do when it runs short: descriptors, threads, libuv's threads. */
import { randomFill } from 'node:crypto'
import type { Log } from '../log.ts'
import {
  canOpen,
  countDescriptors,
  createDescriptorWatch,
  createThreadRoom,
  descriptorLimit,
} from './process-limits.ts'

interface LimitCounts {
  /** Open file descriptors; NaN: the system does not say. */
  readonly descriptors: number
  /** How many descriptors can be open; Infinity: the system does not say. */
  readonly maxDescriptors: number
  /** How long libuv's threads have been stuck, in milliseconds; 0: they are not. */
  readonly nativeStuckMs: number
}

interface SystemLimitsOptions {
  /** Replaces the threads, which closes what their tasks have left open. */
  readonly replaceThreads: (detail: string) => void
  readonly log: Log
}

/** An event loop takes three descriptors; other threads can open the rest meanwhile. */
const descriptorsPerCall = 12

export type SystemLimits = ReturnType<typeof createSystemLimits>

export function createSystemLimits({ replaceThreads, log }: SystemLimitsOptions) {
  const onShort = (): void => replaceThreads('file descriptors run short')
  const maxDescriptors = descriptorLimit()
  const count = (): number => countDescriptors(maxDescriptors)
  const descriptors = createDescriptorWatch({ onShort, count, log })
  const native = createNativeWatch({ log })
  const threads = createThreadRoom()

  return {
    start(): void {
      descriptors.start()
      native.start()
    },
    stop(): void {
      descriptors.stop()
      native.stop()
      threads.close()
    },
    /**
     * Whether there are enough descriptors and threads for a call under `vm`'s time limit: V8 starts a thread with an event
     * loop for each call, and ends the process with SIGABRT when it cannot. Takes 0.03 ms. A task can still take the last
     * descriptor between this check and the call.
     */
    hasRoom: (): boolean => canOpen(descriptorsPerCall) && threads.hasRoom(),
    /** A task has timed out, and its native calls may go on. */
    noteTimeout: native.noteTimeout,
    /** Why the process should get no requests now; null: it is healthy. */
    unhealthyReason(): string | null {
      if (descriptors.isShort()) return 'file descriptors run short'
      return native.stuckMs() > 0 ? 'native calls of tasks hold all threads that there are for them' : null
    },
    counts: (): LimitCounts => ({
      descriptors: count(),
      maxDescriptors,
      nativeStuckMs: native.stuckMs(),
    }),
  }
}

interface NativeWatchOptions {
  /** After how long without a return of the smallest call libuv's threads count as stuck, in milliseconds; default 10 000. */
  readonly stuckAfterMs?: number
  readonly log: Log
}

const checksUntilStuck = 10
const maxNames = 20

/**
 * Notices that libuv's threads are stuck because native calls of tasks occupy all of them. File systems, compression, DNS
 * and much of `crypto` depend on these threads, in all threads of the process.
 */
export function createNativeWatch({ stuckAfterMs = 10_000, log }: NativeWatchOptions) {
  const buffer = Buffer.alloc(1)
  /** Tasks that have timed out, the latest last. */
  const timedOut = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let probedAt: number | null = null
  /** Counted instead of timed: after the main thread was blocked, the result of the probe may only wait to be handled. */
  let failedChecks = 0
  const isStuck = (): boolean => failedChecks >= checksUntilStuck

  function check(): void {
    if (probedAt === null) {
      probedAt = performance.now()
      randomFill(buffer, onProbed)
      return
    }
    failedChecks += 1
    if (failedChecks !== checksUntilStuck) return
    const message = 'native calls of tasks hold all of libuv’s threads: no call of fs, zlib or dns comes back'
    log.error({ timedOut: [...timedOut] }, message)
  }

  function onProbed(): void {
    if (isStuck()) {
      log.info('libuv’s threads work again')
      timedOut.clear()
    }
    probedAt = null
    failedChecks = 0
  }

  return {
    start(): void {
      timer = setInterval(check, stuckAfterMs / checksUntilStuck).unref()
    },
    stop: (): void => clearInterval(timer),
    noteTimeout(task: string): void {
      timedOut.delete(task)
      timedOut.add(task)
      const [oldest] = timedOut
      if (timedOut.size > maxNames && oldest !== undefined) timedOut.delete(oldest)
    },
    stuckMs: (): number => (isStuck() && probedAt !== null ? performance.now() - probedAt : 0),
  }
}
