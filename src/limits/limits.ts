/** What the process may take from the system: what is left of it, and what to do when it runs short. */
import type { Log } from '../log.ts'
import { countDescriptors, descriptorLimit } from './descriptors.ts'
import { createDescriptorWatch } from './descriptor-watch.ts'
import { createNativeWatch } from './native-watch.ts'
import { createWatchRoom } from './watch-room.ts'

export interface Limits {
  start(): void
  stop(): void
  /** Whether a call under `vm`'s time limit can have the thread and the descriptors that it takes. */
  hasRoom(): boolean
  /** A task has had its time, and its native calls may go on. */
  noteTimeout(task: string): void
  /** Why the process should get no requests now; null when nothing is wrong. */
  trouble(): string | null
  counts(): LimitCounts
}

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

export function createLimits({ replaceThreads, log }: LimitsOptions): Limits {
  const onShort = (): void => replaceThreads('file descriptors run short')
  const maxDescriptors = descriptorLimit()
  const count = (): number => countDescriptors(maxDescriptors)
  const descriptors = createDescriptorWatch({ onShort, count, log })
  const native = createNativeWatch({ log })
  const room = createWatchRoom()

  return {
    start() {
      descriptors.start()
      native.start()
    },
    stop() {
      descriptors.stop()
      native.stop()
      room.close()
    },
    hasRoom: room.hasRoom,
    noteTimeout: native.noteTimeout,
    trouble() {
      if (descriptors.isShort()) return 'file descriptors run short'
      return native.stuckMs() > 0 ? 'native calls of tasks hold all threads that there are for them' : null
    },
    counts: () => ({
      descriptors: count(),
      maxDescriptors,
      nativeStuckMs: native.stuckMs(),
    }),
  }
}
