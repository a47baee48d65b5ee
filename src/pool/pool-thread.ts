/** One place for a thread in the pool: its lanes, the attempts on it, and what state it is in. */
import type { TaskKind } from '../domain/task.ts'
import type { Attempt } from './attempt.ts'

/**
 * `retiring`: takes no more jobs and is replaced when its attempts have ended; `failing`: ends by itself; `dying`:
 * killed, and not yet gone, which native code can delay.
 */
export type ThreadState = 'starting' | 'ready' | 'retiring' | 'failing' | 'dying'

export interface PoolThread {
  readonly name: string
  readonly kind: TaskKind
  readonly lanes: readonly number[]
  readonly freeLanes: number[]
  readonly attempts: Set<Attempt>
  state: ThreadState
  /** Since when it takes no jobs, in milliseconds of `performance.now()`; null while it does. */
  unreadySince: number | null
  /** Attempts under way, and the sum of the times of all that have ended less the starts of those. */
  busyLanes: number
  busySumMs: number
  /** Jobs answered by the thread that is there now. */
  answered: number
  /** Whether it is being asked if its loop turns. */
  isPinged: boolean
  /** Whether code of a job ended the last thread here: then no other job is to blame. */
  wasEndedByJob: boolean
}

export function setState(thread: PoolThread, state: ThreadState): void {
  thread.state = state
  thread.unreadySince = state === 'ready' ? null : (thread.unreadySince ?? performance.now())
}

/** An attempt begins (1) or ends (-1). */
export function countBusy(thread: PoolThread, change: 1 | -1): void {
  thread.busyLanes += change
  thread.busySumMs -= change * performance.now()
}

/** Milliseconds that attempts took on it, those under way included, since the pool was made. */
export function busyMs({ busyLanes, busySumMs }: PoolThread): number {
  return busySumMs + busyLanes * performance.now()
}

export interface ThreadCounts {
  readonly kind: TaskKind
  readonly threads: number
  /** Jobs at once on each. */
  readonly lanes: number
}

/** Named `worker-1` and on, in the order of the kinds; their lanes are numbered through. */
export function createPoolThreads(counts: readonly ThreadCounts[]): PoolThread[] {
  const threads: PoolThread[] = []
  let nextLane = 0
  for (const { kind, threads: count, lanes: width } of counts) {
    for (let made = 0; made < count; made += 1) {
      const first = nextLane
      const lanes = Array.from({ length: width }, (_, index) => first + index)
      nextLane += width
      threads.push({
        name: `worker-${threads.length + 1}`,
        kind,
        lanes,
        freeLanes: [...lanes],
        attempts: new Set(),
        state: 'starting',
        unreadySince: performance.now(),
        busyLanes: 0,
        busySumMs: 0,
        answered: 0,
        isPinged: false,
        wasEndedByJob: false,
      })
    }
  }
  return threads
}
