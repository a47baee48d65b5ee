/**
 * The worker threads and who runs where. A thread of kind `cpu` has one lane, one of kind `io` many; a lane holds one
 * attempt. Every attempt ends once: with its task's outcome, or with what became of its thread.
 */
import type { ClaimedJob, FreeSlots } from '../domain/claim.ts'
import type { Outcome } from '../domain/job.ts'
import type { TaskKind } from '../domain/task.ts'
import type { Log } from '../log.ts'
import { startAttempt, type Attempt, type PoolOutcome } from './attempt.ts'
import { allocateControlBlock, createControlBlock } from './control-block.ts'
import { describeDeath } from './death.ts'
import type { LogMessage } from './messages.ts'
import { createThreadGroup, type ThreadGroup } from './thread-group.ts'

/** V8's own limit, far above what any one task is meant to use. */
const maxHeapMb = 4096

export interface PoolOptions {
  /** Threads of kind `cpu`. */
  readonly threads: number
  /** Threads of kind `io`, and jobs at once on each. */
  readonly ioThreads: number
  readonly ioConcurrency: number
  /** From the cooperative signal to the hard kill, in milliseconds. */
  readonly cancelGraceMs: number
  readonly log: Log
}

export interface Execution {
  readonly outcome: Promise<PoolOutcome>
  /** Asks the job to stop, and ends it as `released` after the cancel grace unless it completes before. */
  release(): void
}

export interface Pool {
  /** Resolves when every thread has loaded its entry and answered. */
  start(): Promise<void>
  /** Calls back when a thread became ready; that a job's end frees its slot is known to who runs it. */
  onCapacity(listener: () => void): void
  /** Room for jobs now, per thread that is ready. */
  freeSlots(): FreeSlots[]
  /** What each thread is doing. */
  threads(): ThreadView[]
  /** Runs the job on the thread that it was claimed for; `released` at once when that thread has no room. */
  run(job: ClaimedJob, url: string): Execution
  /** Ends every thread. */
  stop(): Promise<void>
}

/** `draining`: an abandoned task runs on it, so it takes no more jobs; `dying`: killed, and not yet gone. */
type ThreadState = 'starting' | 'ready' | 'draining' | 'dying'

export interface ThreadView {
  readonly name: string
  readonly kind: TaskKind
  readonly state: ThreadState
  /** Jobs on it. */
  readonly running: number
}

interface Thread {
  readonly name: string
  readonly kind: TaskKind
  readonly place: number
  readonly freeLanes: number[]
  readonly lanes: readonly number[]
  readonly attempts: Set<Attempt>
  state: ThreadState
}

export function createPool(options: PoolOptions): Pool {
  const { log } = options
  const sizes = [
    { kind: 'cpu', threads: options.threads, lanes: 1 },
    { kind: 'io', threads: options.ioThreads, lanes: options.ioConcurrency },
  ] as const
  const data = { control: allocateControlBlock(sizes.reduce((sum, size) => sum + size.threads * size.lanes, 0)) }
  const control = createControlBlock(data.control)
  const threads = createThreads(sizes)
  const byName = new Map(threads.map((thread) => [thread.name, thread]))
  const groups = new Map<TaskKind, ThreadGroup>()
  const listeners: (() => void)[] = []
  let isStopped = false

  function groupOf(kind: TaskKind): ThreadGroup {
    const group = groups.get(kind)
    if (group === undefined) throw new Error('the pool was not started')
    return group
  }

  function announceCapacity(): void {
    for (const listener of listeners) listener()
  }

  function makeGroup(kind: TaskKind, jobsPerThread: number): ThreadGroup {
    const ofKind = threads.filter((thread) => thread.kind === kind)
    const at = (place: number): Thread => {
      const thread = ofKind[place]
      if (thread === undefined) throw new Error(`no ${kind} thread has place ${place}`)
      return thread
    }
    return createThreadGroup({
      threads: ofKind.length,
      jobsPerThread,
      data,
      maxHeapMb,
      onReady(place) {
        at(place).state = 'ready'
        announceCapacity()
      },
      onFailing(place) {
        at(place).state = 'dying'
      },
      onGone(place) {
        const thread = at(place)
        if (!isStopped) log.info({ thread: thread.name }, 'thread gone, a new one is starting')
        thread.state = 'starting'
        thread.freeLanes.splice(0, Number.POSITIVE_INFINITY, ...thread.lanes)
      },
      onError: (error) => log.warn({ err: error, kind }, 'an error on a thread that belongs to no running job'),
      onMessage: (message) => writeLog(message),
    })
  }

  function writeLog(message: unknown): void {
    // Only our own thread entry posts messages, but a task can reach the same port.
    if (typeof message !== 'object' || message === null || !('type' in message) || message.type !== 'log') return
    const { level, fields, message: text } = message as LogMessage
    if (['debug', 'info', 'warn', 'error'].includes(level)) log[level](fields, text)
  }

  function kill(thread: Thread): void {
    if (thread.state === 'dying' || thread.state === 'starting') return
    thread.state = 'dying'
    for (const attempt of thread.attempts) attempt.evict()
    groupOf(thread.kind).terminate(thread.place)
  }

  function abandon(thread: Thread, attempt: Attempt): void {
    log.warn({ thread: thread.name, kind: thread.kind }, 'a job did not heed its signal: its thread is to be replaced')
    thread.attempts.delete(attempt)
    if (thread.state === 'ready') thread.state = 'draining'
    if (thread.attempts.size === 0) kill(thread)
  }

  function leave(thread: Thread, attempt: Attempt): void {
    thread.attempts.delete(attempt)
    thread.freeLanes.push(attempt.lane)
    if (thread.state === 'draining' && thread.attempts.size === 0) kill(thread)
  }

  return {
    async start() {
      for (const { kind, lanes } of sizes) groups.set(kind, makeGroup(kind, lanes))
      // Piscina tells of its first threads in a microtask.
      await Promise.resolve()
      await Promise.all(threads.map(({ kind, place }) => groupOf(kind).send(place, { type: 'warm' })))
      announceCapacity()
    },
    onCapacity: (listener) => void listeners.push(listener),
    freeSlots: () =>
      threads
        .filter(({ state, freeLanes }) => state === 'ready' && freeLanes.length > 0)
        .map(({ name, kind, freeLanes }) => ({ thread: name, kind, count: freeLanes.length })),

    threads: () => threads.map(({ name, kind, state, attempts }) => ({ name, kind, state, running: attempts.size })),

    run(job, url) {
      const thread = byName.get(job.thread)
      const lane = thread?.state === 'ready' ? thread.freeLanes.pop() : undefined
      if (thread === undefined || lane === undefined) {
        return { outcome: Promise.resolve('released'), release: () => {} }
      }
      const attempt: Attempt = startAttempt({
        control,
        lane,
        timeoutMs: job.timeoutMs,
        cancelGraceMs: options.cancelGraceMs,
        onAbandoned: () => abandon(thread, attempt),
      })
      thread.attempts.add(attempt)
      const { runId, jobIndex, task, input } = job
      groupOf(thread.kind)
        .send(thread.place, { type: 'job', lane, task, url, input, runId, jobIndex, attempt: job.attempt })
        .then(
          (outcome) => {
            // The thread's entry answers a job with an outcome and never throws.
            attempt.answer(outcome as Outcome)
            leave(thread, attempt)
          },
          (error: unknown) => {
            thread.attempts.delete(attempt)
            attempt.die(describeDeath(error))
          },
        )
      return { outcome: attempt.outcome, release: attempt.release }
    },

    async stop() {
      isStopped = true
      for (const thread of threads) thread.state = 'dying'
      await Promise.all([...groups.values()].map((group) => group.destroy()))
    },
  }
}

function createThreads(sizes: readonly { kind: TaskKind; threads: number; lanes: number }[]): Thread[] {
  const threads: Thread[] = []
  let nextLane = 0
  for (const { kind, threads: count, lanes: width } of sizes) {
    for (let place = 0; place < count; place += 1) {
      const first = nextLane
      const lanes = Array.from({ length: width }, (_, index) => first + index)
      nextLane += width
      const name = `worker-${threads.length + 1}`
      threads.push({ name, kind, place, lanes, freeLanes: [...lanes], attempts: new Set(), state: 'starting' })
    }
  }
  return threads
}
