/**
 * The worker threads and who runs where. A lane is room for one attempt: a thread of kind `io` runs those of all its
 * lanes at once, one of kind `cpu` one after another, and holds more than one only while jobs are quick. Every attempt
 * ends once: with its task's outcome, or with what became of its thread.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClaimedJob, FreeSlots } from '../domain/claim.ts'
import type { AttemptOutcome, Progress } from '../domain/job.ts'
import type { TaskKind } from '../domain/task.ts'
import type { Log } from '../log.ts'
import type { Task } from '../tasks/task.ts'
import { startAttempt, type Attempt } from './attempt.ts'
import { allocateControlBlock, createControlBlock } from './control-block.ts'
import { describeDeath } from './death.ts'
import { loadOn } from './loading.ts'
import { createMemoryWatch } from './memory-watch.ts'
import { createCourier } from './courier.ts'
import { readFromThread, type JobMessage, type ThreadAnswer } from './messages.ts'
import { countZombies, findIllness } from './health.ts'
import {
  busyShare,
  countBusy,
  createPoolThreads,
  freeRoom,
  setState,
  type PoolThread,
  type ThreadState,
} from './pool-thread.ts'
import { createSeat, type Seat } from './seat.ts'
import { threadFlags } from './thread-flags.ts'
import { createThreadKeeper, type ReplaceCause } from './thread-keeper.ts'

/** V8's own limit, far above what a task may use: it is no safe boundary, for many ways to reach it end the process. */
const maxHeapMb = 4096
const bytesPerMb = 1_048_576
const minPingLimitMs = 200
/** How long `stop` waits for threads in native code. */
const stopLimitMs = 500
const defaults = { maxJobsPerThread: 100_000, maxIdleMb: 512, loadLimitMs: 30_000 }

export interface PoolOptions {
  /** Threads of kind `cpu`. */
  readonly threads: number
  /** Threads of kind `io`, and jobs at once on each. */
  readonly ioThreads: number
  readonly ioConcurrency: number
  /** From the cooperative signal to the hard kill, in milliseconds. */
  readonly cancelGraceMs: number
  /** A thread is replaced after so many jobs, so that what leaks is given back; default 100 000. */
  readonly maxJobsPerThread?: number
  /** A thread is replaced that held more than this before a job, in MiB; default 512. */
  readonly maxIdleMb?: number
  /** How long a thread may take to import a task's module, in milliseconds; default 30 000. */
  readonly loadLimitMs?: number
  /** Command-line flags of Node for the threads; default: those of the process that decide how modules are loaded. */
  readonly flags?: readonly string[]
  readonly log: Log
}

export interface Execution {
  readonly outcome: Promise<AttemptOutcome>
  /** Asks the job to stop, and ends it as `released` after the cancel grace unless it completes before. */
  release(): void
  /** Asks the job to stop because it was cancelled; its thread is killed after the grace. */
  cancel(): void
  /** What the task has told of itself; null while it has told nothing. */
  progress(): Progress | null
}

export interface ThreadView {
  readonly name: string
  readonly kind: TaskKind
  readonly state: ThreadState
  /** Jobs on it. */
  readonly running: number
  /** Which part of its lanes' time since the pool was made attempts took, from 0 to 1. */
  readonly busyShare: number
}

export interface PoolCounts {
  /** Threads that were replaced since the start, by cause. */
  readonly replaced: Readonly<Partial<Record<ReplaceCause, number>>>
  /** Threads that were killed and are still there, stuck in native code. */
  readonly zombies: number
}

export interface Pool {
  /** Resolves when every thread has loaded its entry and answered. */
  start(): Promise<void>
  /**
   * Has a thread of each kind load the modules of its tasks, beside the jobs that it runs.
   * @throws BootError that names the file when one cannot be loaded there
   */
  load(tasks: readonly Task[]): Promise<void>
  /**
   * Calls back when there may be room that no outcome announces: a thread became ready, or gave back the lane of a job
   * that was handed back before. That a job's outcome frees its slot is known to its caller.
   */
  onCapacity(listener: () => void): void
  /** Room for jobs now, per thread that is ready. */
  freeSlots(): FreeSlots[]
  /** What each thread is doing. */
  threads(): ThreadView[]
  counts(): PoolCounts
  /** What is so wrong with the threads that the process should be started anew; null when nothing is. */
  illness(): string | null
  /** Has every thread replaced as soon as nobody is on it, for the reason given. */
  replaceAll(detail: string): void
  /** Runs the job on the thread that it was claimed for; `released` at once when that thread has no room. */
  run(job: ClaimedJob, task: Task): Execution
  /** Ends every thread, and every attempt as `released`. */
  stop(): Promise<void>
}

export function createPool(options: PoolOptions): Pool {
  const { log, cancelGraceMs, maxJobsPerThread, maxIdleMb, loadLimitMs } = { ...defaults, ...options }
  const flags = options.flags ?? threadFlags(process.execArgv)
  const counts = [
    { kind: 'cpu', threads: options.threads, jobsAtOnce: null },
    { kind: 'io', threads: options.ioThreads, jobsAtOnce: options.ioConcurrency },
  ] as const
  const threads = createPoolThreads(counts)
  const byName = new Map(threads.map((thread) => [thread.name, thread]))
  const controlBuffer = allocateControlBlock(threads.reduce((sum, { lanes }) => sum + lanes.length, 0))
  const control = createControlBlock(controlBuffer)
  const memory = createMemoryWatch()
  const listeners: (() => void)[] = []
  const madeAt = performance.now()
  const pingLimitMs = Math.max(minPingLimitMs, cancelGraceMs)
  const keeper = createThreadKeeper({ control, seatOf, pingLimitMs, log, onReady: announceCapacity })
  const courier = createCourier({ seatOf, onAnswer: answer, onLost: die })
  const seats = new Map(threads.map((thread) => [thread, makeSeat(thread)]))

  function seatOf(thread: PoolThread): Seat {
    const seat = seats.get(thread)
    if (seat === undefined) throw new Error(`${thread.name} has no seat`)
    return seat
  }

  function announceCapacity(): void {
    for (const listener of listeners) listener()
  }

  function makeSeat(thread: PoolThread): Seat {
    const { name, lanes } = thread
    return createSeat({
      jobs: lanes.length,
      data: { control: controlBuffer, isSequential: thread.batchSize !== null },
      maxHeapMb,
      flags,
      onReady: () => keeper.enter(thread),
      onFailing: () => setState(thread, 'failing'),
      onGone: () => keeper.leave(thread),
      onGivenUpGone: keeper.forget,
      onError: (error) => log.warn({ err: error, thread: name }, 'an error on a thread that belongs to no running job'),
      onMessage: hear,
    })
  }

  function hear(message: unknown): void {
    const told = readFromThread(message)
    if (told?.type === 'answers') courier.deliver(told.answers)
    else if (told?.type === 'log') log[told.level](told.fields, told.message)
  }

  function answer(thread: PoolThread, attempt: Attempt, told: ThreadAnswer): void {
    const { outcome, taint, isUnsafe, tookMs } = told
    attempt.answer(outcome)
    if (outcome !== 'released') thread.batchSize?.note(tookMs)
    thread.attempts.delete(attempt)
    thread.freeLanes.push(attempt.lane)
    thread.answered += 1
    if (taint !== null) keeper.retire(thread, 'tainted', taint, isUnsafe)
    else if (thread.answered >= maxJobsPerThread) keeper.retire(thread, 'recycled', `${thread.answered} jobs`)
    else if (control.startBytes(attempt.lane) > maxIdleMb * bytesPerMb)
      keeper.retire(thread, 'recycled', 'memory held between jobs')
    // Whoever retired it, this may have been the last one on it.
    keeper.endRetired(thread)
    // A recalled job ended long before its lane came back: without this, nothing would be claimed for the lane.
    if (outcome === 'released') announceCapacity()
  }

  function die(thread: PoolThread, attempt: Attempt, error: unknown): void {
    thread.attempts.delete(attempt)
    if (thread.wasEndedByJob && control.exitCode(attempt.lane) === null) attempt.evict()
    else attempt.die(describeDeath(error))
    // A thread that lives and could not answer is in doubt; the lane is given back with it.
    keeper.retire(thread, 'tainted', 'it could not answer')
    keeper.endRetired(thread)
  }

  function begin(thread: PoolThread, lane: number, job: ClaimedJob, task: Task): Attempt {
    let unwatch = (): void => {}
    const attempt = startAttempt({
      control,
      lane,
      timeoutMs: job.timeoutMs,
      loadLimitMs,
      cancelGraceMs,
      onAbandoned: (cause) => keeper.abandon(thread, attempt, cause),
      onUnbegun: () => keeper.doubt(thread),
    })
    thread.attempts.add(attempt)
    countBusy(thread, 1)
    if (thread.kind === 'cpu') {
      unwatch = memory.watch({
        measure: () => seatOf(thread).memory(),
        startBytes: () => control.startBytes(lane),
        limitBytes: task.policy.memoryMb * bytesPerMb,
        onExceeded(usedBytes) {
          const message = `took ${Math.ceil(usedBytes / bytesPerMb)} MiB; ${task.policy.memoryMb} MiB are allowed`
          attempt.kill({ code: 'out_of_memory', message })
        },
      })
    }
    void attempt.outcome.then(() => {
      unwatch()
      countBusy(thread, -1)
    })
    return attempt
  }

  return {
    async start() {
      await Promise.all([...seats.values()].map((seat) => seat.start()))
    },
    async load(tasks) {
      const ofKind = (kind: TaskKind) => tasks.filter(({ policy }) => policy.kind === kind)
      const firsts = counts.flatMap(({ kind }) => threads.find((thread) => thread.kind === kind) ?? [])
      await Promise.all(
        firsts.map((thread) => {
          const onSlow = (path: string): void => {
            // Else it waits for its turn.
            if ([...thread.attempts].some(({ lane }) => control.isBegun(lane))) return
            log.warn({ thread: thread.name }, `${path}: a worker thread has not loaded it within ${loadLimitMs} ms`)
            keeper.doubt(thread)
          }
          return loadOn({ seat: seatOf(thread), tasks: ofKind(thread.kind), limitMs: loadLimitMs, onSlow, log })
        }),
      )
    },
    onCapacity: (listener) => void listeners.push(listener),
    freeSlots: () =>
      threads
        .map((thread) => ({ thread: thread.name, kind: thread.kind, count: freeRoom(thread) }))
        .filter(({ count }) => count > 0),
    threads: () => threads.map((thread) => viewThread(thread, madeAt)),
    counts: () => ({
      replaced: keeper.replaced(),
      zombies: countZombies(threads, performance.now()) + keeper.givenUp(),
    }),
    illness: () => findIllness(threads, performance.now()),
    replaceAll(detail) {
      for (const thread of threads) keeper.retire(thread, 'recycled', detail)
    },

    run(job, task) {
      const thread = byName.get(job.thread)
      const lane = thread?.state === 'ready' ? thread.freeLanes.pop() : undefined
      if (thread === undefined || lane === undefined) {
        return { outcome: Promise.resolve('released'), release() {}, cancel() {}, progress: () => null }
      }
      const attempt = begin(thread, lane, job, task)
      courier.send(thread, attempt, messageOf(job, task, lane))
      keeper.watchForHoldUp(thread)
      const { outcome, release, cancel } = attempt
      return { outcome, release, cancel, progress: () => control.progress(lane) }
    },

    async stop() {
      keeper.stop()
      for (const thread of threads) {
        setState(thread, 'dying')
        for (const attempt of thread.attempts) attempt.evict()
      }
      const destroyed = Promise.all([...seats.values()].map((seat) => seat.destroy()))
      // Native code keeps its thread alive for as long as it likes; the process need not wait for it.
      await Promise.race([destroyed, sleep(stopLimitMs, undefined, { ref: false })])
    },
  }
}

function viewThread(thread: PoolThread, madeAt: number): ThreadView {
  const { name, kind, state, attempts } = thread
  return { name, kind, state, running: attempts.size, busyShare: busyShare(thread, performance.now() - madeAt) }
}

function messageOf(job: ClaimedJob, { name, url }: Task, lane: number): Omit<JobMessage, 'id'> {
  const { input, runId, jobIndex, attempt } = job
  return { lane, task: name, url, input, runId, jobIndex, attempt }
}
