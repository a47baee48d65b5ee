/**
 * Stands in for the worker threads: runs attempts in the thread of the test, where a task shares memory with it. A time
 * limit ends when the test's clock has passed it.
 */
import { type ClaimedJob, type Progress, stepsOfAttempt, type StepKeeper } from '../domain/claim.ts'
import { createAttemptState, type Attempt } from '../execution/executor.ts'
import type { LogMessage } from '../execution/pool/pool-messages.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { ThreadView } from '../execution/pool/pool-thread.ts'
import { createRunningTask, runTask } from '../execution/running-task.ts'
import type { Log } from '../log.ts'
import type { Task } from '../tasks/task-module.ts'
import type { ProcessClock } from '../runtime/clock.ts'

export interface InlinePool extends Pool {
  /** When the first time limit of a running attempt ends; null where nothing runs. */
  nextTimeoutAt(): number | null
  /** The clock was moved: ends what is out of time, and has due jobs claimed. */
  clockMoved(): void
}

export interface InlinePoolOptions {
  readonly clock: TestClock
  readonly log: Log
  readonly cancelGraceMs: number
}

interface Running {
  readonly thread: string
  readonly timeoutAt: number
  timeOut(): void
  release(): void
}

const places = [
  { thread: 'worker-1', kind: 'cpu', slots: 100 },
  { thread: 'worker-2', kind: 'io', slots: 100 },
] as const

export function createInlinePool({ clock, log, cancelGraceMs }: InlinePoolOptions): InlinePool {
  const running = new Set<Running>()
  const listeners: (() => void)[] = []
  const lineListeners: ((line: LogMessage) => void)[] = []
  const countOn = (name: string): number => [...running].filter(({ thread }) => thread === name).length

  function run(job: ClaimedJob, task: Task, keeper: StepKeeper): Attempt {
    const { timeoutMs, thread } = job
    const controller = new AbortController()
    let told: Progress | null = null
    const state = createAttemptState({
      graceMs: cancelGraceMs,
      onStop: () => controller.abort(new DOMException('the job was asked to stop', 'AbortError')),
      onEnd: () => running.delete(entry),
    })
    const { outcome, release, cancel } = state
    const timeOut = (): void => state.timeOut(`did not end within ${timeoutMs} ms`)
    const entry: Running = { thread, timeoutAt: clock.now() + timeoutMs, timeOut, release }
    const { context } = createRunningTask(job, {
      called: 'a job',
      ended: outcome,
      isOver: state.isOver,
      hasBegun: () => true,
      signal: () => controller.signal,
      report(progress) {
        told = Number.isNaN(progress.fraction) ? null : progress
      },
      steps: () => stepsOfAttempt(keeper, job),
      write(line) {
        log[line.level](line.fields, line.message)
        for (const listener of lineListeners) listener({ type: 'log', ...line })
      },
      fail: state.breakOff,
      onExit() {},
    })
    running.add(entry)
    void runTask(task, job.input, context).then(state.finish)
    return { outcome, release, cancel, progress: () => told }
  }

  function view({ thread: name, kind, slots }: (typeof places)[number]): ThreadView {
    const count = countOn(name)
    return { name, kind, state: 'ready', running: count, busyShare: count / slots }
  }

  return {
    run,
    async start() {},
    async load() {},
    onCapacity: (listener) => void listeners.push(listener),
    onLine: (listener) => void lineListeners.push(listener),
    freeSlots: () => places.map(({ thread, kind, slots }) => ({ thread, kind, count: slots - countOn(thread) })),
    freeProcesses: () => places[0].slots,
    threads: () => places.map(view),
    counts: () => ({ replaced: {}, zombies: 0 }),
    unhealthyReason: () => null,
    replaceAll() {},
    async stop() {
      for (const { release } of running) release()
    },
    nextTimeoutAt: () => (running.size === 0 ? null : Math.min(...[...running].map(({ timeoutAt }) => timeoutAt))),
    clockMoved() {
      for (const { timeoutAt, timeOut } of running) if (timeoutAt <= clock.now()) timeOut()
      for (const listener of listeners) listener()
    },
  }
}

/** A clock that stands still until a test moves it. No time of the system reaches a service that has it. */
export interface TestClock extends ProcessClock {
  /** Never back. */
  moveTo(at: number): void
}

/** @throws RangeError for what is no time */
export function createTestClock(startAt: number): TestClock {
  let now = requireTime(startAt)
  const listeners: (() => void)[] = []
  return {
    now: () => now,
    follow: () => 0,
    moveTo(at) {
      now = Math.max(now, requireTime(at))
      for (const listener of listeners) listener()
    },
    onMoved: (listener) => void listeners.push(listener),
  }
}

function requireTime(at: number): number {
  if (Number.isFinite(at)) return Math.floor(at)
  throw new RangeError(`a clock cannot show ${at}`)
}
