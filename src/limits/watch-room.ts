/**
 * Whether a call under `vm`'s time limit can have what it takes: V8 starts a thread with an event loop for each, and
 * ends the process with SIGABRT when it cannot.
 */
import { canOpen } from './descriptors.ts'
import { createThreadRoom } from './thread-room.ts'

export interface WatchRoom {
  hasRoom(): boolean
  close(): void
}

/** An event loop takes three; the others are for what other threads open meanwhile. */
const descriptors = 12

/** Costs 0.03 ms a question, and saves no call from a task that takes the last descriptor at the same moment. */
export function createWatchRoom(): WatchRoom {
  const threads = createThreadRoom()
  return { hasRoom: () => canOpen(descriptors) && threads.hasRoom(), close: threads.close }
}
