/**
 * The worker threads and what runs where. A slot is room for one attempt: a thread of kind `io` runs those of all its
 * slots at once, one of kind `cpu` one after another, and holds more than one only while jobs are quick. Every attempt
 * ends once: with its task's outcome, or with the end of its thread.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClaimedJob, FreeSlots, StepKeeper } from '../../domain/claim.ts'
import type { TaskKind } from '../../domain/task.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task-module.ts'
import { notStarted, type Attempt } from '../executor.ts'
import { createMemoryWatch, startAttempt, type PoolAttempt } from './attempt.ts'
import { allocateControlBlock, createControlBlock, phases } from './control-block.ts'
import { createJobBatcher } from './job-batcher.ts'
import { readFromThread, type JobReply, type LogMessage } from './pool-messages.ts'
import {
  countBusy,
  countZombies,
  createPoolThreads,
  unhealthyReason,
  freeProcesses,
  freeRoom,
  setState,
  viewThread,
  type PoolThread,
  type ThreadView,
} from './pool-thread.ts'
import { createProcessHost } from './process-host.ts'
import { ProcessEnd } from './child-process.ts'
import { createWorkerHost, describeNoReply, threadFlags, type WorkerHost } from './worker-host.ts'
import { createThreadSupervisor, type ReplaceCause } from './thread-supervisor.ts'

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
  /** A thread is replaced after this many jobs, so that leaked memory is given back; default 100 000. */
  readonly maxJobsPerThread?: number
  /** A thread is replaced that held more than this before a job, in MiB; default 512. */
  readonly maxIdleMb?: number
  /** How long a thread may take to import a task's module, in milliseconds; default 30 000. */
  readonly loadLimitMs?: number
  /** Command-line flags of Node for the threads; default: those of the process that decide how modules are loaded. */
  readonly flags?: readonly string[]
  readonly log: Log
}

export interface PoolCounts {
  /** Threads that were replaced since the start, by cause. */
  readonly replaced: Readonly<Partial<Record<ReplaceCause, number>>>
  /** Threads that were killed and are still there, stuck in native code. */
  readonly zombies: number
}

export interface Pool {
  /** Resolves when every thread has loaded its entry and replied. */
  start(): Promise<void>
  /**
   * Has a thread of each kind load the modules of its tasks while it runs jobs.
   * @throws BootError that names the file when one cannot be loaded there
   */
  load(tasks: readonly Task[]): Promise<void>
  /**
   * Calls back when a thread became ready, or gave back the slot of a job that was handed back before: no outcome says so.
   * That the outcome of a job frees its slot is known to its caller.
   */
  onCapacity(listener: () => void): void
  /** Calls back with each line of a task, when it has been logged. */
  onLine(listener: (line: LogMessage) => void): void
  /** Room for jobs now, per thread that is ready. */
  freeSlots(): FreeSlots[]
  /** For how many jobs of tasks with `isolation: 'process'` there is room now; each takes a slot of kind `cpu` as well. */
  freeProcesses(): number
  /** What each thread is doing, and each child process that was started. */
  threads(): ThreadView[]
  counts(): PoolCounts
  /** Why the process should be started again: what is wrong with its threads; null when nothing is. */
  unhealthyReason(): string | null
  /** Has every thread replaced as soon as it runs no job. @param detail why */
  replaceAll(detail: string): void
  /**
   * Runs the job on the thread that it was claimed for; `released` at once when that thread has no room.
   * @param keeper of its steps
   */
  run(job: ClaimedJob, task: Task, keeper: StepKeeper): Attempt
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
  const processes = threads.flatMap(({ process: place }) => place ?? [])
  /** Places for worker threads and for child processes. */
  const places = [...threads, ...processes]
  const byName = new Map(places.map((thread) => [thread.name, thread]))
  const controlBuffer = allocateControlBlock(places.reduce((sum, { slots }) => sum + slots.length, 0))
  const control = createControlBlock(controlBuffer)
  const watchMemory = createMemoryWatch()
  const listeners: (() => void)[] = []
  const lineListeners: ((line: LogMessage) => void)[] = []
  const madeAt = performance.now()
  const pingLimitMs = Math.max(minPingLimitMs, cancelGraceMs)
  const supervisor = createThreadSupervisor({
    control,
    hostOf,
    pingLimitMs,
    loadLimitMs,
    log,
    onReady: announceCapacity,
  })
  const batcher = createJobBatcher({ hostOf, onReply, onNoReply })
  const hosts = new Map(places.map((thread) => [thread, makeHost(thread)]))

  function hostOf(thread: PoolThread): WorkerHost {
    const host = hosts.get(thread)
    if (host === undefined) throw new Error(`${thread.name} has no host`)
    return host
  }

  function announceCapacity(): void {
    for (const listener of listeners) listener()
  }

  function makeHost(thread: PoolThread): WorkerHost {
    const warn = (message: string) => (error: unknown) => log.warn({ err: error, thread: thread.name }, message)
    const common = {
      maxHeapMb,
      flags,
      onReady: () => supervisor.enter(thread),
      onGone: () => supervisor.leave(thread),
      onMessage: (message: unknown) => onMessage(thread, message),
    }
    if (processes.includes(thread)) {
      const onError = warn('a child process could not be started')
      return createProcessHost({ ...common, control, startLimitMs: loadLimitMs, onError })
    }
    return createWorkerHost({
      ...common,
      jobs: thread.slots.length,
      data: { control: controlBuffer, isSequential: thread.batchSize !== null },
      onFailing: () => setState(thread, 'failing'),
      onGivenUpGone: supervisor.forget,
      onError: warn('an error on a thread that belongs to no running job'),
    })
  }

  /** With the child processes that there are. */
  const started = (): PoolThread[] => [...threads, ...processes.filter((place) => !hostOf(place).isCold())]

  function onMessage(thread: PoolThread, message: unknown): void {
    const sent = readFromThread(message)
    if (sent?.type === 'replies') batcher.deliver(sent.replies)
    else if (sent?.type === 'step') void batcher.answerStep(thread, sent)
    else if (sent?.type === 'log') {
      log[sent.level](sent.fields, sent.message)
      for (const listener of lineListeners) listener(sent)
    }
  }

  function onReply(thread: PoolThread, attempt: PoolAttempt, reply: JobReply): void {
    const { outcome, taint, isUnsafe, tookMs } = reply
    attempt.finish(outcome)
    if (outcome !== 'released') thread.batchSize?.note(tookMs)
    thread.attempts.delete(attempt)
    thread.freeSlotNumbers.push(attempt.slot)
    thread.replied += 1
    if (taint !== null) supervisor.retire(thread, 'tainted', taint, isUnsafe)
    else if (thread.replied >= maxJobsPerThread) supervisor.retire(thread, 'recycled', `${thread.replied} jobs`)
    else if (control.startBytes(attempt.slot) > maxIdleMb * bytesPerMb)
      supervisor.retire(thread, 'recycled', 'memory held between jobs')
    // This may have been the last one on it.
    supervisor.endRetired(thread)
    // A recalled job ended long before its slot came back: without this, nothing would be claimed for the slot.
    if (outcome === 'released') announceCapacity()
  }

  function onNoReply(thread: PoolThread, attempt: PoolAttempt, error: unknown): void {
    thread.attempts.delete(attempt)
    const isAlive = thread.state === 'ready' || thread.state === 'retiring'
    if (!mayBeToBlame(thread, attempt)) attempt.evict()
    else attempt.crash(error instanceof ProcessEnd ? error.jobError : describeNoReply(error, isAlive))
    // A thread that lives and could not reply is in doubt; the slot is given back with it.
    supervisor.retire(thread, 'tainted', 'it could not reply')
    supervisor.endRetired(thread)
  }

  /** A noted exit names its job, or one that has ended. Without a note it may be any job that the thread had begun. */
  function mayBeToBlame(thread: PoolThread, { slot }: PoolAttempt): boolean {
    if (control.phase(slot).phase === phases.sent) return false
    return !thread.hasNotedExit || control.exitCode(slot) !== null
  }

  function begin(thread: PoolThread, slot: number, job: ClaimedJob, task: Task, keeper: StepKeeper): PoolAttempt {
    let unwatch = (): void => {}
    const attempt = startAttempt({
      job,
      keeper,
      control,
      slot,
      hasSecrets: task.secret.length > 0,
      loadLimitMs,
      cancelGraceMs,
      onAbandoned: (cause) => supervisor.abandon(thread, attempt, cause),
      onUnbegun: () => supervisor.doubt(thread),
    })
    thread.attempts.add(attempt)
    countBusy(thread, 1)
    if (thread.kind === 'cpu') {
      unwatch = watchMemory({
        measure: () => hostOf(thread).memory(),
        startBytes: () => control.startBytes(slot),
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
      await Promise.all([...hosts.values()].map((host) => host.start()))
    },
    async load(tasks) {
      const isolated = tasks.filter(({ policy }) => policy.isolation === 'process')
      const ofKind = (kind: TaskKind) => tasks.filter((task) => task.policy.kind === kind && !isolated.includes(task))
      const firsts = counts.flatMap(({ kind }) => threads.find((thread) => thread.kind === kind) ?? [])
      await Promise.all([
        ...firsts.map((thread) => supervisor.load(thread, ofKind(thread.kind))),
        ...processes.slice(0, 1).map((place) => supervisor.load(place, isolated, 'a child process')),
      ])
    },
    onCapacity: (listener) => void listeners.push(listener),
    onLine: (listener) => void lineListeners.push(listener),
    freeSlots: () =>
      threads
        .map((thread) => ({ thread: thread.name, kind: thread.kind, count: freeRoom(thread) }))
        .filter(({ count }) => count > 0),
    freeProcesses: () => freeProcesses(processes),
    threads: () => started().map((thread) => viewThread(thread, madeAt)),
    counts: () => ({
      replaced: supervisor.replaced(),
      zombies: countZombies(started(), performance.now()) + supervisor.givenUp(),
    }),
    unhealthyReason: () => unhealthyReason(threads, performance.now(), processes),
    replaceAll(detail) {
      for (const thread of started()) supervisor.retire(thread, 'recycled', detail)
    },

    run(job, task, keeper) {
      const thread = byName.get(job.thread)
      const slot = thread?.state === 'ready' ? thread.freeSlotNumbers.pop() : undefined
      if (thread === undefined || slot === undefined) return notStarted
      const attempt = begin(thread, slot, job, task, keeper)
      batcher.send(thread, attempt, task)
      supervisor.watchForHoldUp(thread)
      return attempt
    },

    async stop() {
      supervisor.stop()
      for (const thread of places) {
        setState(thread, 'dying')
        for (const attempt of thread.attempts) attempt.evict()
      }
      const destroyed = Promise.all([...hosts.values()].map((host) => host.destroy()))
      // Native code keeps its thread alive for as long as it likes; the process need not wait for it.
      await Promise.race([destroyed, sleep(stopLimitMs, undefined, { ref: false })])
    },
  }
}
