/** A clock that all threads of the process share, that nobody sets, and that a task cannot replace. */
import { now } from './primordials.ts'

const msPerNs = 1e-6
/** `performance.now()` counts from the start of each thread. */
const startedAt = Number(process.hrtime.bigint()) * msPerNs - now()

/** Milliseconds since an instant that is the same for all threads. */
export function monotonicMs(): number {
  return startedAt + now()
}
