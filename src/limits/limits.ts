/** What the process may take from the system: what is left of it, and what to do when it runs short. */
import type { Log } from '../log.ts'
import { canOpen, countDescriptors, createDescriptorWatch, descriptorLimit } from './descriptors.ts'
import { createNativeWatch } from './native-watch.ts'
import { createThreadRoom } from './thread-room.ts'

export interface LimitCounts {
  /** Open file descriptors, and how many there may be; NaN and Infinity where the system does not say. */
  readonly descriptors: number
  readonly maxDescriptors: number
  /** How long nothing has come back from libuv's threads, in milliseconds; 0 while all is well. */
  readonly nativeStuckMs: number
}

export interface LimitsOptions {
  /** Replaces the threads, whose end closes what tasks have left open. */
  readonly replaceThreads: (detail: string) => void
  readonly log: Log
}

/** An event loop takes three; the others are for what other threads open meanwhile. */
const descriptorsPerCall = 12

export type Limits = ReturnType<typeof createLimits>

export function createLimits({ replaceThreads, log }: LimitsOptions) {
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
