/**
 * The worker threads and child processes, and the attempts on them. A slot is room for one attempt. An `io` thread runs the
 * attempts of all its slots at once; a `cpu` thread runs one after another, and takes more than one only while jobs are
 * quick. Every attempt ends once: with its task's outcome, or because of its thread.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClaimedJob, FreeSlots, StepKeeper } from '../../domain/claim.ts'
import type { TaskKind } from '../../domain/task.ts'
import type { Log } from '../../log.ts'
import type { Task } from '../../tasks/task-module.ts'
import { notStarted, type Attempt } from '../executor.ts'
import { createMemoryWatch, startAttempt, type PoolAttempt } from './attempt.ts'
import { allocateControlBlock, createControlBlock, phases } from './control-block.ts'
import { createHosts, noReplyError } from './hosts.ts'
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
import { createThreadSupervisor, type ReplaceCause } from './thread-supervisor.ts'
import type { WorkerHost } from './worker-host.ts'

const bytesPerMb = 1_048_576
const minPingLimitMs = 200
/** How long `stop` waits for threads that are in native code. */
const stopLimitMs = 500
const defaults = { maxJobsPerThread: 100_000, maxIdleMb: 512, loadLimitMs: 30_000 }

export interface PoolOptions {
  /** Threads of kind `cpu`. */
  readonly threads: number
  /** Threads of kind `io`. */
  readonly ioThreads: number
  /** Jobs at once on each `io` thread. */
  readonly ioConcurrency: number
  /** From the signal to the kill, in milliseconds. */
  readonly cancelGraceMs: number
  /** A thread is replaced after this many jobs, which frees leaked memory; default 100 000. */
  readonly maxJobsPerThread?: number
  /** A thread is replaced when it held more than this before a job, in MiB; default 512. */
  readonly maxIdleMb?: number
  /** How long a thread may take to import a task's module, in milliseconds; default 30 000. */
  readonly loadLimitMs?: number
  /** Command-line flags of Node for the threads; default: `threadFlags` of those of the process. */
  readonly flags?: readonly string[]
  readonly log: Log
}

export interface PoolCounts {
  /** Threads that were replaced since the start, by cause. */
  readonly replaced: Readonly<Partial<Record<ReplaceCause, number>>>
  /** Threads that were killed and have not ended, because they are stuck in native code. */
  readonly zombies: number
}

export interface Pool {
  /** Resolves when every thread has loaded its entry and replied. */
  start(): Promise<void>
  /**
   * Has one thread of each kind load the modules of its tasks while it runs jobs.
   * @throws BootError that names the file when one cannot be loaded there
   */
  load(tasks: readonly Task[]): Promise<void>
  /**
   * Calls back when a slot is free and no outcome shows it: a thread is ready, or has replied to a recalled job, whose
   * outcome came earlier. The slot of any other job is free when it has its outcome.
   */
  onCapacity(listener: () => void): void
  /** Calls back with each log line of a task. */
  onLine(listener: (line: LogMessage) => void): void
  /** Threads that have room for jobs now. */
  freeSlots(): FreeSlots[]
  /** Room for jobs of tasks with `isolation: 'process'` now; each job takes a slot of kind `cpu` as well. */
  freeProcesses(): number
  /** Each thread, and each child process that was started. */
  threads(): ThreadView[]
  counts(): PoolCounts
  /** Why the service should be restarted; null when the threads are healthy. */
  unhealthyReason(): string | null
  /** Replaces every thread as soon as it runs no job. @param detail why, for the log */
  replaceAll(detail: string): void
  /**
   * Runs the job on the thread that it was claimed for; `released` at once when that thread has no room.
   * @param keeper keeps the job's steps
   */
  run(job: ClaimedJob, task: Task, keeper: StepKeeper): Attempt
  /** Ends every thread; attempts that are not over end as `released`. */
  stop(): Promise<void>
}

export function createPool(options: PoolOptions): Pool {
  const { log, cancelGraceMs, maxJobsPerThread, maxIdleMb, loadLimitMs } = { ...defaults, ...options }
  const counts = [
    { kind: 'cpu', threads: options.threads, jobsAtOnce: null },
    { kind: 'io', threads: options.ioThreads, jobsAtOnce: options.ioConcurrency },
  ] as const
  const threads = createPoolThreads(counts)
  const processes = threads.flatMap((thread) => thread.childProcess ?? [])
  const members = [...threads, ...processes]
  const byName = new Map(members.map((member) => [member.name, member]))
  const controlBuffer = allocateControlBlock(members.reduce((sum, { slots }) => sum + slots.length, 0))
  const control = createControlBlock(controlBuffer)
  const watchMemory = createMemoryWatch()
  const capacityListeners: (() => void)[] = []
  const lineListeners: ((line: LogMessage) => void)[] = []
  const madeAt = performance.now()
  const pingLimitMs = Math.max(minPingLimitMs, cancelGraceMs)
  const supervisor = createThreadSupervisor({ control, hostOf, pingLimitMs, loadLimitMs, log, onReady: notifyCapacity })
  const batcher = createJobBatcher({ hostOf, onReply, onNoReply })
  const hosts = createHosts(threads, {
    control,
    controlBuffer,
    flags: options.flags,
    startLimitMs: loadLimitMs,
    log,
    onReady: supervisor.onThreadReady,
    onGone: supervisor.onThreadGone,
    onGivenUpGone: supervisor.onGivenUpGone,
    onMessage,
  })

  function hostOf(thread: PoolThread): WorkerHost {
    const host = hosts.get(thread)
    if (host === undefined) throw new Error(`${thread.name} has no host`)
    return host
  }

  function notifyCapacity(): void {
    for (const listener of capacityListeners) listener()
  }

  function startedMembers(): PoolThread[] {
    return members.filter((member) => hostOf(member).isStarted())
  }

  function onMessage(thread: PoolThread, message: unknown): void {
    const sent = readFromThread(message)
    if (sent?.type === 'replies') batcher.deliver(sent.replies)
    else if (sent?.type === 'step') void batcher.replyToStep(thread, sent)
    else if (sent?.type === 'log') {
      log[sent.level](sent.fields, sent.message)
      for (const listener of lineListeners) listener(sent)
    }
  }

  function onReply(thread: PoolThread, attempt: PoolAttempt, reply: JobReply): void {
    const { outcome, taint, tookMs } = reply
    attempt.finish(outcome)
    if (outcome !== 'released') thread.batchSize?.note(tookMs)
    thread.attempts.delete(attempt)
    thread.freeSlots.push(attempt.slot)
    thread.replied += 1
    if (taint?.isUnsafe === true) supervisor.replaceNow(thread, 'tainted', taint.reason)
    else if (taint !== null) supervisor.retire(thread, 'tainted', taint.reason)
    else if (thread.replied >= maxJobsPerThread) supervisor.retire(thread, 'recycled', `${thread.replied} jobs`)
    else if (control.startBytes(attempt.slot) > maxIdleMb * bytesPerMb) {
      supervisor.retire(thread, 'recycled', 'memory held between jobs')
    }
    // This may have been the last job on a thread that retires.
    supervisor.replaceIfIdle(thread)
    // A recalled job ended long before its slot came back: nothing else would make the dispatcher claim for the slot.
    if (outcome === 'released') notifyCapacity()
  }

  function onNoReply(thread: PoolThread, attempt: PoolAttempt, error: unknown): void {
    thread.attempts.delete(attempt)
    const isAlive = thread.state === 'ready' || thread.state === 'retiring'
    if (!mayBeToBlame(thread, attempt)) attempt.evict()
    else attempt.crash(noReplyError(error, isAlive))
    // A thread that could not reply is not reliable any more. The slot is free when the thread is replaced.
    if (isAlive) supervisor.retire(thread, 'tainted', 'it could not reply')
  }

  /** A noted exit names the job that ended the thread; without a note, it may be any job that the thread had begun. */
  function mayBeToBlame(thread: PoolThread, { slot }: PoolAttempt): boolean {
    // `onThreadGone` hands these back, too, but not if the thread lives, and too late after an uncaught error.
    if (control.phase(slot).phase === phases.sent) return false
    return !thread.isExitNoted || control.hasJobNotedExit(slot)
  }

  function startOn(thread: PoolThread, slot: number, job: ClaimedJob, task: Task, keeper: StepKeeper): PoolAttempt {
    const attempt = startAttempt({
      job,
      keeper,
      control,
      slot,
      hasSecrets: task.secret.length > 0,
      loadLimitMs,
      cancelGraceMs,
      onAbandoned: (cause) => supervisor.abandon(thread, attempt, cause),
      onUnbegun: () => supervisor.checkUnbegun(thread),
    })
    thread.attempts.add(attempt)
    countBusy(thread, 1)
    const endWatch = thread.kind === 'cpu' ? limitMemory(thread, attempt, task.policy.memoryMb) : null
    void attempt.outcome.then(() => {
      endWatch?.()
      countBusy(thread, -1)
    })
    return attempt
  }

  /** @returns ends the watch */
  function limitMemory(thread: PoolThread, attempt: PoolAttempt, memoryMb: number): () => void {
    return watchMemory({
      measure: () => hostOf(thread).memory(),
      startBytes: () => control.startBytes(attempt.slot),
      limitBytes: memoryMb * bytesPerMb,
      onExceeded(usedBytes) {
        const message = `took ${Math.ceil(usedBytes / bytesPerMb)} MiB; ${memoryMb} MiB are allowed`
        attempt.kill({ code: 'out_of_memory', message })
      },
    })
  }

  return {
    async start() {
      await Promise.all([...hosts.values()].map((host) => host.start()))
    },
    async load(tasks) {
      const isolated = tasks.filter(({ policy }) => policy.isolation === 'process')
      const ofKind = (kind: TaskKind) => tasks.filter((task) => task.policy.kind === kind && !isolated.includes(task))
      const firstOfKinds = counts.flatMap(({ kind }) => threads.find((thread) => thread.kind === kind) ?? [])
      await Promise.all([
        ...firstOfKinds.map((thread) => supervisor.load(thread, ofKind(thread.kind))),
        ...processes.slice(0, 1).map((process) => supervisor.load(process, isolated, 'a child process')),
      ])
    },
    onCapacity: (listener) => void capacityListeners.push(listener),
    onLine: (listener) => void lineListeners.push(listener),
    freeSlots: () =>
      threads
        .map((thread) => ({ thread: thread.name, kind: thread.kind, count: freeRoom(thread) }))
        .filter(({ count }) => count > 0),
    freeProcesses: () => freeProcesses(processes),
    threads: () => startedMembers().map((thread) => viewThread(thread, performance.now() - madeAt)),
    counts: () => ({
      replaced: supervisor.replaced(),
      zombies: countZombies(startedMembers(), performance.now()) + supervisor.givenUp(),
    }),
    unhealthyReason: () => unhealthyReason(threads, performance.now(), processes),
    replaceAll(detail) {
      for (const thread of startedMembers()) supervisor.retire(thread, 'recycled', detail)
    },

    run(job, task, keeper) {
      const thread = byName.get(job.thread)
      const slot = thread?.state === 'ready' ? thread.freeSlots.pop() : undefined
      if (thread === undefined || slot === undefined) return notStarted
      const attempt = startOn(thread, slot, job, task, keeper)
      batcher.send(thread, attempt, task)
      supervisor.watchForHoldUp(thread)
      return attempt
    },

    async stop() {
      supervisor.cancelGiveUps()
      for (const thread of members) {
        setState(thread, 'dying')
        for (const attempt of thread.attempts) attempt.evict()
      }
      const destroyed = Promise.all([...hosts.values()].map((host) => host.destroy()))
      // Native code can keep a thread alive without limit, and the process need not wait for it.
      await Promise.race([destroyed, sleep(stopLimitMs, undefined, { ref: false })])
    },
  }
}
