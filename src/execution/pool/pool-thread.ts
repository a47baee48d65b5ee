/**
 * One member of the pool: a worker thread or a child process, with its slots, the attempts on it and its state. It stays
 * when its thread ends and another one follows.
 */
import type { TaskKind } from '../../domain/task.ts'
import type { PoolAttempt } from './attempt.ts'

/**
 * `retiring`: takes no more jobs and is replaced when its attempts have ended; `failing`: ends because of an error;
 * `dying`: was killed and has not ended yet, which native code can delay.
 */
export type ThreadState = 'starting' | 'ready' | 'retiring' | 'failing' | 'dying'

export interface PoolThread {
  readonly name: string
  /** The child process that shares a core with this thread: only one of the two runs jobs at a time. */
  readonly childProcess: PoolThread | null
  readonly kind: TaskKind
  readonly slots: readonly number[]
  readonly freeSlots: number[]
  readonly attempts: Set<PoolAttempt>
  /** How many jobs a thread that runs one after another may hold; null for a thread that runs all at once. */
  readonly batchSize: BatchSize | null
  state: ThreadState
  /** When it stopped taking jobs, by `performance.now()`; null while it takes them. */
  unreadySince: number | null
  /** Attempts on it that are not over. */
  busySlots: number
  /** The sum of the times in which attempts ran, until `busyCountedAt` (by `performance.now()`). */
  busyMs: number
  busyCountedAt: number
  /** Replies of the current thread. */
  replied: number
  /** Checks whether a job holds up those that wait after it. */
  holdUpTimer: NodeJS.Timeout | undefined
  /** Whether a ping is under way, which shows whether its loop turns. */
  isPinged: boolean
  /** Whether the control block says which job ended the thread before this one: then no other job is to blame. */
  isExitNoted: boolean
  /** Grows when its thread is given up: replies to jobs of an earlier generation no longer count. */
  generation: number
}

export function setState(thread: PoolThread, state: ThreadState): void {
  thread.state = state
  thread.unreadySince = state === 'ready' ? null : (thread.unreadySince ?? performance.now())
}

/** An attempt begins (1) or ends (-1). */
export function countBusy(thread: PoolThread, change: 1 | -1): void {
  const now = performance.now()
  thread.busyMs = busyMsUntil(now, thread)
  thread.busyCountedAt = now
  thread.busySlots += change
}

function busyMsUntil(now: number, { busyMs, busyCountedAt, busySlots, batchSize }: PoolThread): number {
  // A thread that runs one job after another runs one of its attempts.
  return busyMs + (batchSize === null ? busySlots : Math.min(1, busySlots)) * (now - busyCountedAt)
}

export interface ThreadView {
  readonly name: string
  readonly kind: TaskKind
  readonly state: ThreadState
  /** Jobs on it. */
  readonly running: number
  /** The part of its slots' time in which attempts ran, from 0 to 1, since the pool was made. */
  readonly busyShare: number
}

/** @param ageMs since the pool was made */
export function viewThread(thread: PoolThread, ageMs: number): ThreadView {
  const { name, kind, state, attempts, batchSize, slots } = thread
  const jobsAtOnce = batchSize === null ? slots.length : 1
  const busyShare = busyMsUntil(performance.now(), thread) / (ageMs * jobsAtOnce)
  return { name, kind, state, running: attempts.size, busyShare: Math.round(busyShare * 1_000) / 1_000 }
}

/** For how many more jobs it has room now. */
export function freeRoom({ state, freeSlots, slots, batchSize, childProcess }: PoolThread): number {
  if (state !== 'ready' || (childProcess !== null && isTaken(childProcess))) return 0
  // After a slow job, a thread can hold more jobs than its batch size.
  return batchSize === null ? freeSlots.length : Math.max(0, batchSize.current() - (slots.length - freeSlots.length))
}

function isTaken({ state, attempts }: PoolThread): boolean {
  return attempts.size > 0 || state === 'retiring' || state === 'dying'
}

/** How many of these child processes could begin a job now; 0 while one of them cannot be started. */
export function freeProcesses(processes: readonly PoolThread[]): number {
  if (processes.some(({ state }) => state === 'starting')) return 0
  return processes.filter((process) => !isTaken(process)).length
}

export interface ThreadCounts {
  readonly kind: TaskKind
  readonly threads: number
  /** Jobs that each thread runs at once; null: one after another, as many in a batch as are quick. */
  readonly jobsAtOnce: number | null
}

/** Names them `worker-1`, `worker-2` … over all kinds; the child process beside `worker-2` is `process-2`. */
export function createPoolThreads(counts: readonly ThreadCounts[]): PoolThread[] {
  const threads: PoolThread[] = []
  let nextSlot = 0

  function createThread(name: string, { kind, jobsAtOnce }: ThreadCounts, childProcess: PoolThread | null): PoolThread {
    const first = nextSlot
    const slots = Array.from({ length: jobsAtOnce ?? maxBatch }, (_, index) => first + index)
    nextSlot += slots.length
    return {
      name,
      childProcess,
      kind,
      slots,
      freeSlots: [...slots],
      attempts: new Set(),
      batchSize: jobsAtOnce === null ? createBatchSize() : null,
      state: 'starting',
      unreadySince: performance.now(),
      busySlots: 0,
      busyMs: 0,
      busyCountedAt: 0,
      replied: 0,
      holdUpTimer: undefined,
      isPinged: false,
      isExitNoted: false,
      generation: 0,
    }
  }

  for (const each of counts) {
    for (let made = 0; made < each.threads; made += 1) {
      const number = threads.length + 1
      const childProcess = each.kind === 'cpu' ? createThread(`process-${number}`, each, null) : null
      // It takes jobs at once, because its first job starts it.
      if (childProcess !== null) setState(childProcess, 'ready')
      threads.push(createThread(`worker-${number}`, each, childProcess))
    }
  }
  return threads
}

export type BatchSize = ReturnType<typeof createBatchSize>

const batchMs = 10
const maxBatch = 64

/**
 * How many jobs a thread that runs one after another may hold: as many as it runs in `batchMs`. So quick jobs do not wait
 * for one commit each, and slow jobs are not claimed before they can start.
 */
function createBatchSize() {
  let size = 1
  return {
    /** At least 1. */
    current: (): number => size,
    /** The thread has run one more job. @param tookMs on the thread */
    note(tookMs: number): void {
      // Doubled at most: one quick job says little about the next.
      size = Math.max(1, Math.min(maxBatch, size * 2, Math.floor(batchMs / tookMs)))
    },
    /** Back to 1, until jobs prove quick again. */
    reset(): void {
      size = 1
    },
  }
}

/** A killed thread that has not ended after this time is a zombie: stuck in native code, with its slots taken. */
const zombieAfterMs = 2_000
const unusableLimitMs = 30_000

type ThreadHealth = Pick<PoolThread, 'kind' | 'state' | 'unreadySince'>

export function countZombies(threads: readonly ThreadHealth[], nowMs: number): number {
  return threads.filter((thread) => thread.state === 'dying' && isUnreadyFor(zombieAfterMs, thread, nowMs)).length
}

/**
 * Unhealthy: most threads are zombies, a thread or a process cannot be started for 30 s, or for 30 s no `cpu` thread took
 * jobs or all `io` threads were zombies.
 * @returns null when the pool is healthy
 */
export function unhealthyReason(
  threads: readonly ThreadHealth[],
  nowMs: number,
  processes: readonly ThreadHealth[] = [],
): string | null {
  const zombies = countZombies(threads, nowMs)
  if (zombies * 2 > threads.length) return `${zombies} of ${threads.length} threads are stuck in native code`
  const limit = `${unusableLimitMs / 1000} s`
  const isUnusable = (thread: ThreadHealth): boolean => isUnreadyFor(unusableLimitMs, thread, nowMs)
  const isMissing = (thread: ThreadHealth): boolean => thread.state === 'starting' && isUnusable(thread)
  if (threads.some(isMissing)) return `a thread has not started for ${limit}`
  if (processes.some(isMissing)) return `a child process has not started for ${limit}`
  const cpuThreads = threads.filter(({ kind }) => kind === 'cpu')
  if (cpuThreads.length > 0 && cpuThreads.every(isUnusable)) return `no cpu thread has taken jobs for ${limit}`
  const ioThreads = threads.filter(({ kind }) => kind === 'io')
  // A retiring thread is healthy, however long its last jobs run.
  const isStuck = (thread: ThreadHealth): boolean => thread.state === 'dying' && isUnusable(thread)
  return ioThreads.length > 0 && ioThreads.every(isStuck) ? 'all io threads are stuck in native code' : null
}

function isUnreadyFor(ms: number, { unreadySince }: ThreadHealth, nowMs: number): boolean {
  return unreadySince !== null && unreadySince <= nowMs - ms
}
