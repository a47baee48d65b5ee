/** A job on this thread: its context, and the ways in which code of its own can end it from outside `run`. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { getHeapStatistics } from 'node:v8'
import type { AttemptOutcome } from '../../domain/job.ts'
import type { TaskContext, TaskLog } from '../../domain/task.ts'
import { withResolvers } from '../../domain/primordials.ts'
import { serializeError } from '../../domain/serialize-error.ts'
import { readProgress } from '../progress.ts'
import { createTaskLog, type LineIds } from '../task-log.ts'
import type { ControlBlock } from './control-block.ts'
import type { JobMessage, LogMessage } from './messages.ts'
import { createStopSignal, type StopSignal } from './stop-signal.ts'

export interface RunningJob {
  readonly ids: LineIds
  readonly context: TaskContext
  /** The first outcome that it was given. */
  readonly outcome: Promise<AttemptOutcome>
  isOver(): boolean
  /** Its module is loaded: from now on its time and its memory count. False when it is over, or is to stop, already. */
  begin(): boolean
  hasBegun(): boolean
  /** It has come to an outcome of its own. */
  settle(outcome: AttemptOutcome): void
  /** Something of the job's threw where nobody could catch it. */
  breakWith(thrown: unknown): void
  /** Code of the job's is about to end the thread. */
  exitWith(code: number): void
  end(): void
}

/** Whose code is running: follows callbacks, timers and promises. */
export const currentJob = new AsyncLocalStorage<RunningJob>()

// Taken before any task runs, for a job that has ended can still change what the next one depends on.
const Controller = AbortController
const measure = getHeapStatistics

/** @returns null when the job was taken back before */
export function takeJob(
  message: JobMessage,
  control: ControlBlock,
  tell: (message: LogMessage) => void,
): RunningJob | null {
  if (!control.take(message.slot)) return null
  const { slot, runId, jobIndex, attempt, task } = message
  const ids = { runId, jobIndex, attempt, task }
  const { promise, resolve }: PromiseWithResolvers<AttemptOutcome> = withResolvers()
  let isOver = false
  let hasBegun = false
  let stop: StopSignal | undefined
  let log: TaskLog | undefined

  const post = (line: Omit<LogMessage, 'type'>) => tell({ type: 'log', ...line })
  return {
    ids,
    context: {
      // Made when it is asked for: most jobs never do, and listening costs more than a quick job.
      get signal() {
        // After the end the slot is the next job's.
        if (stop === undefined && isOver) return new Controller().signal
        stop ??= createStopSignal(control, slot)
        return stop.signal
      },
      progress(fraction: unknown, text?: unknown) {
        if (isOver) return
        const told = readProgress(fraction, text)
        control.setProgress(slot, told.fraction, told.message)
      },
      get log() {
        log ??= createTaskLog(ids, post)
        return log
      },
      attempt,
      runId,
      jobIndex,
    },
    outcome: promise,
    isOver: () => isOver,
    begin() {
      // After the end the slot is the next job's.
      if (isOver) return false
      if (control.isStopped(slot)) {
        resolve({ ok: false, error: { code: 'cancelled', message: 'was not begun' }, isRetryable: false })
        return false
      }
      const { used_heap_size: heapBytes, external_memory: externalBytes } = measure()
      control.setStartBytes(slot, heapBytes + externalBytes)
      control.run(slot)
      hasBegun = true
      return true
    },
    hasBegun: () => hasBegun,
    settle: resolve,
    breakWith(thrown) {
      const { message: text, ...rest } = serializeError(thrown)
      const error = { ...rest, code: 'crashed', message: `an error that nobody caught: ${text}` } as const
      resolve({ ok: false, error, isRetryable: true })
    },
    exitWith(code) {
      control.setExit(slot, isOver ? null : code)
      if (isOver) post({ level: 'warn', message: 'a job that had ended ends its thread', fields: ids })
    },
    end() {
      isOver = true
      control.end(slot)
      stop?.end()
    },
  }
}
