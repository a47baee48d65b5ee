/** One place for a thread in the pool: its slots, the attempts on it, what state it is in, and whether that is well. */
import type { TaskKind } from '../../domain/task.ts'
import type { PoolAttempt } from './attempt.ts'

/**
 * `retiring`: takes no more jobs and is replaced when its attempts have ended; `failing`: ends by itself; `dying`:
 * killed, and not yet gone, which native code can delay.
 */
export type ThreadState = 'starting' | 'ready' | 'retiring' | 'failing' | 'dying'

export interface PoolThread {
  readonly name: string
  /** The place of a child process next to this thread: the two share a core, so only one of them runs jobs at a time. */
  readonly process: PoolThread | null
  readonly kind: TaskKind
  readonly slots: readonly number[]
  readonly freeSlotNumbers: number[]
  readonly attempts: Set<PoolAttempt>
  /** Of a thread that runs one job after another, how many it may hold; null for one that runs all at once. */
  readonly batchSize: BatchSize | null
  state: ThreadState
  /** Since when it takes no jobs, in milliseconds of `performance.now()`; null while it does. */
  unreadySince: number | null
  /** Attempts on it that are not over, and the sum of the times of all that have ended less the starts of those. */
  busySlots: number
  busySumMs: number
  /** Jobs replied to by the thread that is there now. */
  replied: number
  /** Checks whether a job holds up those that wait after it. */
  holdUpTimer: NodeJS.Timeout | undefined
  /** Whether it is being asked if its loop turns. */
  isPinged: boolean
  /** Whether the last thread here was ended by an exit that is noted in the control block: then no other job is to blame. */
  hasNotedExit: boolean
  /** How many threads were here and have been given up: replies of their jobs no longer count. */
  givenUp: number
}

export function setState(thread: PoolThread, state: ThreadState): void {
  thread.state = state
  thread.unreadySince = state === 'ready' ? null : (thread.unreadySince ?? performance.now())
}

/** An attempt begins (1) or ends (-1). */
export function countBusy(thread: PoolThread, change: 1 | -1): void {
  const before = busyJobs(thread)
  thread.busySlots += change
  thread.busySumMs -= (busyJobs(thread) - before) * performance.now()
}

/** Jobs that take its time at once: of those that it runs one after another, one. */
function busyJobs({ busySlots, batchSize }: PoolThread): number {
  return batchSize === null ? busySlots : Math.min(1, busySlots)
}

/** Which part of its time attempts took, from 0 to 1. @param ageMs since the pool was made */
function busyShare(thread: PoolThread, ageMs: number): number {
  const busyMs = thread.busySumMs + busyJobs(thread) * performance.now()
  const room = thread.batchSize === null ? thread.slots.length : 1
  return Math.round((busyMs / (ageMs * room)) * 1_000) / 1_000
}

export interface ThreadView {
  readonly name: string
  readonly kind: TaskKind
  readonly state: ThreadState
  /** Jobs on it. */
  readonly running: number
  /** Which part of its slots' time since the pool was made attempts took, from 0 to 1. */
  readonly busyShare: number
}

export function viewThread(thread: PoolThread, madeAt: number): ThreadView {
  const { name, kind, state, attempts } = thread
  return { name, kind, state, running: attempts.size, busyShare: busyShare(thread, performance.now() - madeAt) }
}

/** For how many more jobs it has room now. */
export function freeRoom({ state, freeSlotNumbers, slots, batchSize, process }: PoolThread): number {
  if (state !== 'ready' || (process !== null && isTaken(process))) return 0
  const taken = slots.length - freeSlotNumbers.length
  return batchSize === null ? freeSlotNumbers.length : Math.max(0, batchSize.current() - taken)
}

function isTaken({ state, attempts }: PoolThread): boolean {
  return attempts.size > 0 || state === 'retiring' || state === 'dying'
}

/** How many of these child processes could begin a job now; none while one cannot be started. */
export function freeProcesses(processes: readonly PoolThread[]): number {
  if (processes.some(({ state }) => state === 'starting')) return 0
  return processes.filter((process) => !isTaken(process)).length
}

export interface ThreadCounts {
  readonly kind: TaskKind
  readonly threads: number
  /** Jobs at once on each; null: one after another, as many as are quick. */
  readonly jobsAtOnce: number | null
}

/**
 * Named `worker-1` and on, in the order of the kinds; their slots are numbered through. The child process next to
 * `worker-2` is `process-2`.
 */
export function createPoolThreads(counts: readonly ThreadCounts[]): PoolThread[] {
  const threads: PoolThread[] = []
  let nextSlot = 0

  function createThread(
    name: string,
    kind: TaskKind,
    jobsAtOnce: number | null,
    process: PoolThread | null,
  ): PoolThread {
    const first = nextSlot
    const slots = Array.from({ length: jobsAtOnce ?? maxBatch }, (_, index) => first + index)
    nextSlot += slots.length
    return {
      name,
      process,
      kind,
      slots,
      freeSlotNumbers: [...slots],
      attempts: new Set(),
      batchSize: jobsAtOnce === null ? createBatchSize() : null,
      state: 'starting',
      unreadySince: performance.now(),
      busySlots: 0,
      busySumMs: 0,
      replied: 0,
      holdUpTimer: undefined,
      isPinged: false,
      hasNotedExit: false,
      givenUp: 0,
    }
  }

  for (const { kind, threads: count, jobsAtOnce } of counts) {
    for (let made = 0; made < count; made += 1) {
      const number = threads.length + 1
      const process = kind === 'cpu' ? createThread(`process-${number}`, kind, jobsAtOnce, null) : null
      // It begins with the first job.
      if (process !== null) setState(process, 'ready')
      threads.push(createThread(`worker-${number}`, kind, jobsAtOnce, process))
    }
  }
  return threads
}

/**
 * How many jobs a thread that runs one after another may hold: as many as it does in a moment, so that quick jobs need
 * not wait for one commit each, and slow ones are not claimed before they can start.
 */
export interface BatchSize {
  /** At least 1. */
  current(): number
  /** The thread has run one more job. @param tookMs its way to the thread included */
  note(tookMs: number): void
  /** Something was held up: one at a time, until they are seen to be quick. */
  reset(): void
}

/** What a batch may take. */
const momentMs = 10
const maxBatch = 64

function createBatchSize(): BatchSize {
  let size = 1
  return {
    current: () => size,
    note(tookMs) {
      // At most doubled: one quick job says little about the next.
      size = Math.max(1, Math.min(maxBatch, size * 2, Math.floor(momentMs / tookMs)))
    },
    reset() {
      size = 1
    },
  }
}

/** A thread that has not exited this long after it was killed is stuck in native code: a zombie, whose slot is held back. */
const zombieAfterMs = 2_000
const unusableLimitMs = 30_000

type Seen = Pick<PoolThread, 'kind' | 'state' | 'unreadySince'>

export function countZombies(threads: readonly Seen[], nowMs: number): number {
  return threads.filter(({ state, unreadySince }) => state === 'dying' && isOlder(unreadySince, nowMs - zombieAfterMs))
    .length
}

/**
 * @returns what is wrong: most threads are zombies, one does not come back although that is tried again and again, or
 * for 30 s no `cpu` thread took jobs or all `io` threads were killed and stuck; null when nothing is
 */
export function unhealthyReason(
  threads: readonly Seen[],
  nowMs: number,
  processes: readonly Seen[] = [],
): string | null {
  const zombies = countZombies(threads, nowMs)
  if (zombies * 2 > threads.length) return `${zombies} of ${threads.length} threads are stuck in native code`
  const isMissing = ({ state, unreadySince }: Seen): boolean =>
    state === 'starting' && isOlder(unreadySince, nowMs - unusableLimitMs)
  if (threads.some(isMissing)) return `a thread has not started for ${unusableLimitMs / 1000} s`
  if (processes.some(isMissing)) return `a child process has not started for ${unusableLimitMs / 1000} s`
  const ofCpu = threads.filter(({ kind }) => kind === 'cpu')
  const isUseless =
    ofCpu.length > 0 && ofCpu.every(({ unreadySince }) => isOlder(unreadySince, nowMs - unusableLimitMs))
  if (isUseless) return `no cpu thread has taken jobs for ${unusableLimitMs / 1000} s`
  const ofIo = threads.filter(({ kind }) => kind === 'io')
  // A retiring thread may wait for its last jobs without a limit.
  const isStuck = ({ state, unreadySince }: Seen): boolean =>
    state === 'dying' && isOlder(unreadySince, nowMs - unusableLimitMs)
  return ofIo.length > 0 && ofIo.every(isStuck) ? 'all io threads are stuck in native code' : null
}

function isOlder(since: number | null, limit: number): boolean {
  return since !== null && since <= limit
}
