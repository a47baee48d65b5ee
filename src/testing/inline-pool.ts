/**
 * Runs attempts in the thread of the test instead of worker threads, so that a task shares memory with its test. Time limits
 * follow the test's clock.
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
  /** When the first time limit of the running attempts ends; Infinity: nothing runs. */
  nextTimeoutAt(): number
  /** The clock was moved: ends attempts whose time limit has passed, and makes the dispatcher claim due jobs. */
  clockMoved(): void
}

export interface InlinePoolOptions {
  readonly clock: TestClock
  readonly log: Log
  readonly cancelGraceMs: number
}

interface RunningAttempt {
  readonly thread: string
  readonly timeoutAt: number
  timeOut(): void
  release(): void
}

const threads = [
  { thread: 'worker-1', kind: 'cpu', slots: 100 },
  { thread: 'worker-2', kind: 'io', slots: 100 },
] as const

export function createInlinePool({ clock, log, cancelGraceMs }: InlinePoolOptions): InlinePool {
  const running = new Set<RunningAttempt>()
  const listeners: (() => void)[] = []
  const lineListeners: ((line: LogMessage) => void)[] = []
  const countOn = (name: string): number => [...running].filter(({ thread }) => thread === name).length

  function run(job: ClaimedJob, task: Task, keeper: StepKeeper): Attempt {
    const { timeoutMs, thread } = job
    const controller = new AbortController()
    let latest: Progress | null = null
    const state = createAttemptState({
      graceMs: cancelGraceMs,
      onStop: () => controller.abort(new DOMException('the job was asked to stop', 'AbortError')),
      onEnd: () => running.delete(entry),
    })
    const { outcome, release, cancel } = state
    const timeOut = (): void => state.timeOut(`did not end within ${timeoutMs} ms`)
    const entry: RunningAttempt = { thread, timeoutAt: clock.now() + timeoutMs, timeOut, release }
    const { context } = createRunningTask(job, {
      called: 'a job',
      attempt: state,
      signal: () => controller.signal,
      report(progress) {
        latest = Number.isNaN(progress.fraction) ? null : progress
      },
      steps: () => stepsOfAttempt(keeper, job),
      write(line) {
        log[line.level](line.fields, line.message)
        for (const listener of lineListeners) listener({ type: 'log', ...line })
      },
      onExit() {},
    })
    running.add(entry)
    void runTask(task, job.input, context).then(state.finish)
    return { outcome, release, cancel, progress: () => latest }
  }

  function view({ thread: name, kind, slots }: (typeof threads)[number]): ThreadView {
    const count = countOn(name)
    return { name, kind, state: 'ready', running: count, busyShare: count / slots }
  }

  return {
    run,
    async start() {},
    async load() {},
    onCapacity: (listener) => void listeners.push(listener),
    onLine: (listener) => void lineListeners.push(listener),
    freeSlots: () => threads.map(({ thread, kind, slots }) => ({ thread, kind, count: slots - countOn(thread) })),
    freeProcesses: () => threads[0].slots,
    threads: () => threads.map(view),
    counts: () => ({ replaced: {}, zombies: 0 }),
    unhealthyReason: () => null,
    replaceAll() {},
    async stop() {
      for (const { release } of running) release()
    },
    nextTimeoutAt: () => Math.min(...[...running].map(({ timeoutAt }) => timeoutAt)),
    clockMoved() {
      for (const { timeoutAt, timeOut } of running) if (timeoutAt <= clock.now()) timeOut()
      for (const listener of listeners) listener()
    },
  }
}

/** A clock that stands still until a test moves it. The service that has it sees no other time. */
export interface TestClock extends ProcessClock {
  /** An instant before the current one has no effect. */
  moveTo(at: number): void
}

/** @throws RangeError if the time is not finite */
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
