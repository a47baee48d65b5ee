/** What the process may take from the system: what is left of it, and what to do when it runs short. */
import { randomFill } from 'node:crypto'
import type { Log } from '../log.ts'
import {
  canOpen,
  countDescriptors,
  createDescriptorWatch,
  createThreadRoom,
  descriptorLimit,
} from './process-limits.ts'

export interface LimitCounts {
  /** Open file descriptors, and how many there may be; NaN and Infinity where the system does not say. */
  readonly descriptors: number
  readonly maxDescriptors: number
  /** How long nothing has come back from libuv's threads, in milliseconds; 0 while all is well. */
  readonly nativeStuckMs: number
}

export interface SystemLimitsOptions {
  /** Replaces the threads, whose end closes what tasks have left open. */
  readonly replaceThreads: (detail: string) => void
  readonly log: Log
}

/** An event loop takes three; the others are for what other threads open meanwhile. */
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
     * Whether a call under `vm`'s time limit can have what it takes: V8 starts a thread with an event loop for each, and
     * ends the process with SIGABRT when it cannot. Costs 0.03 ms, and saves no call from a task that takes the last
     * descriptor at the same moment.
     */
    hasRoom: (): boolean => canOpen(descriptorsPerCall) && threads.hasRoom(),
    /** A task has had its time, and its native calls may go on. */
    noteTimeout: native.noteTimeout,
    /** Why the process should get no requests now; null when nothing is wrong. */
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
  /** How long the smallest call may take before libuv's threads count as stuck, in milliseconds; default 10 000. */
  readonly stuckAfterMs?: number
  readonly log: Log
}

const probesPerLimit = 10
/** Of the latest. */
const maxNames = 20

/**
 * Notices that no call comes back from libuv's threads any more, on which file systems, compression, DNS look-ups and
 * much of `crypto` work for all threads of the process: native calls of tasks that do not return have taken them all.
 */
export function createNativeWatch({ stuckAfterMs = 10_000, log }: NativeWatchOptions) {
  const scrap = Buffer.alloc(1)
  /** In the order in which they did last. */
  const timedOut = new Set<string>()
  let timer: NodeJS.Timeout | undefined
  let askedAt: number | null = null
  /** Looks without an answer: counted, because after a main thread that stood still the answer may lie ready. */
  let looks = 0
  const isStuck = (): boolean => looks >= probesPerLimit

  function look(): void {
    if (askedAt === null) {
      askedAt = performance.now()
      randomFill(scrap, comeBack)
      return
    }
    looks += 1
    if (looks !== probesPerLimit) return
    const message = 'native calls of tasks hold all of libuv’s threads: no call of fs, zlib or dns comes back'
    log.error({ timedOut: [...timedOut] }, message)
  }

  function comeBack(): void {
    if (isStuck()) {
      log.info('libuv’s threads work again')
      timedOut.clear()
    }
    askedAt = null
    looks = 0
  }

  return {
    start(): void {
      timer = setInterval(look, stuckAfterMs / probesPerLimit).unref()
    },
    stop: (): void => clearInterval(timer),
    /** A task has had its time, and its native calls may go on. */
    noteTimeout(task: string): void {
      timedOut.delete(task)
      timedOut.add(task)
      const [oldest] = timedOut
      if (timedOut.size > maxNames && oldest !== undefined) timedOut.delete(oldest)
    },
    /** How long nothing has come back, in milliseconds; 0 while all is well. */
    stuckMs: (): number => (isStuck() && askedAt !== null ? performance.now() - askedAt : 0),
  }
}
