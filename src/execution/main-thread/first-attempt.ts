/** One attempt on the main thread: its signal, its time, and what becomes of it when something of it throws elsewhere. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createAttemptState, failedBy } from '../attempt-state.ts'
import type { ClaimedJob } from '../../domain/claim.ts'
import type { AttemptOutcome, JobError, Progress } from '../../domain/job.ts'
import type { TaskContext, TaskLog } from '../../domain/task.ts'
import { serializeError } from '../../domain/serialize-error.ts'
import type { Log } from '../../log.ts'
import { maxMessageBytes } from '../pool/control-block.ts'
import { runAttempt } from '../attempt.ts'
import { readProgress } from '../progress.ts'
import { createTaskLog } from '../task-log.ts'
import type { Task } from '../../tasks/task.ts'
import { Interrupted, type MainThreadGuard } from './main-thread-guard.ts'
import type { RealmGuard } from './realm-guard.ts'

export interface FirstAttempt {
  readonly job: ClaimedJob
  readonly task: Task
  readonly ended: Promise<AttemptOutcome>
  isOver(): boolean
  /** Whether its task has ended too, which it need not have when the attempt is over. */
  hasReturned(): boolean
  /** What the task has told of itself; null while it has told nothing. */
  progress(): Progress | null
  /** Asks the task to stop, and hands the job back after the grace unless it completes before. */
  release(): void
  /** Asks the task to stop, whose job was cancelled. */
  cancel(): void
  /** Something of the job's wanted to end the process. */
  breakWith(error: Omit<JobError, 'code'>): void
  /** Something of the job's threw where nobody could catch it. */
  blame(thrown: unknown): void
}

export interface FirstAttemptOptions {
  readonly job: ClaimedJob
  readonly task: Task
  readonly guard: MainThreadGuard
  readonly realm: RealmGuard
  readonly log: Log
  readonly cancelGraceMs: number
}

/** Whose code is running on the main thread: follows callbacks, timers and promises. */
export const currentFirstAttempt = new AsyncLocalStorage<FirstAttempt>()

export function startFirstAttempt({ job, task, guard, realm, log, cancelGraceMs }: FirstAttemptOptions): FirstAttempt {
  const controller = new AbortController()
  const suspect = { task }
  let wasInterrupted = false
  let hasReturned = false
  let told: Progress | null = null
  let taskLog: TaskLog | undefined
  const end = createAttemptState({
    // The main thread cannot be killed: a job that does not heed its signal is left to itself.
    graceMs: cancelGraceMs,
    onStop: () => controller.abort(new DOMException('the job was asked to stop', 'AbortError')),
    onEnd: () => clearTimeout(timer),
  })
  const timer = setTimeout(end.timeOut, job.timeoutMs, `did not end within ${job.timeoutMs} ms`)

  function call(run: () => unknown): unknown {
    const { exitCode } = process
    try {
      return guard.call(task, run)
    } catch (error) {
      wasInterrupted = error instanceof Interrupted
      throw error
    } finally {
      realm.lookEarly(suspect)
      // That of the process is for its owner to say.
      if (process.exitCode !== exitCode) process.exitCode = exitCode
    }
  }

  const breakWith: FirstAttempt['breakWith'] = (error) => end.breakOff(failedBy({ ...error, code: 'crashed' }))

  const attempt: FirstAttempt = {
    job,
    task,
    ended: end.outcome,
    isOver: end.isOver,
    hasReturned: () => hasReturned,
    progress: () => told && { ...told, message: cut(told.message) },
    release: end.release,
    cancel: end.cancel,
    breakWith,
    blame(thrown) {
      const error = serializeError(thrown)
      const { message, ...rest } = error
      // Described, for the log cannot be trusted with whatever a task throws.
      if (end.isOver()) log.warn({ ...ids, error }, 'an error of a first job that had ended')
      else breakWith({ ...rest, message: `an error that nobody caught: ${message}` })
    },
  }
  const { runId, jobIndex, attempt: number } = job
  const ids = { runId, jobIndex, attempt: number, task: task.name }
  const context: TaskContext = {
    signal: controller.signal,
    progress(fraction: unknown, message?: unknown) {
      const progress = readProgress(fraction, message)
      told = Number.isNaN(progress.fraction) ? null : progress
    },
    get log() {
      taskLog ??= createTaskLog(ids, ({ level, fields, message }) => log[level](fields, message))
      return taskLog
    },
    attempt: number,
    runId,
    jobIndex,
  }
  void currentFirstAttempt.run(attempt, runAttempt, task, job.input, context, call).then((outcome) => {
    hasReturned = true
    realm.look([suspect])
    if (wasInterrupted) end.breakOff('released')
    else end.answer(outcome)
  })
  return attempt
}

/** As on a thread, where it has no more room; only when it is looked at. */
function cut(message: string): string {
  const room = new Uint8Array(maxMessageBytes)
  return new TextDecoder().decode(room.subarray(0, new TextEncoder().encodeInto(message, room).written))
}
