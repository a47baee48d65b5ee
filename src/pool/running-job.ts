/** A job on this thread: its context, and the ways in which code of its own can end it from outside `run`. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { getHeapStatistics } from 'node:v8'
import type { Outcome } from '../domain/job.ts'
import type { TaskContext } from '../domain/task.ts'
import { describeThrown } from '../domain/thrown.ts'
import { phases, type ControlBlock } from './control-block.ts'
import type { JobMessage, LogLevel, LogMessage } from './messages.ts'
import { createStopSignal, type StopSignal } from './stop-signal.ts'

export interface RunningJob {
  readonly ids: { readonly runId: string; readonly jobIndex: number; readonly attempt: number }
  readonly context: TaskContext
  /** Resolves when something of the job's threw outside of `run`; else never. */
  readonly broken: Promise<Outcome>
  isOver(): boolean
  /** Something of the job's threw where nobody could catch it. */
  breakWith(thrown: unknown): void
  /** The job is about to end the thread. */
  exitWith(code: number): void
  end(): void
}

/** Whose code is running: follows callbacks, timers and promises. */
export const currentJob = new AsyncLocalStorage<RunningJob>()

export function startJob(message: JobMessage, control: ControlBlock, post: (message: LogMessage) => void): RunningJob {
  const { lane, runId, jobIndex, attempt } = message
  const ids = { runId, jobIndex, attempt }
  const { promise: broken, resolve } = Promise.withResolvers<Outcome>()
  let isOver = false
  let stop: StopSignal | undefined

  const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics()
  control.setStartBytes(lane, heapBytes + externalBytes)
  control.enter(lane, phases.running)

  const log = (level: LogLevel) => (text: unknown, fields?: Readonly<Record<string, unknown>>) => {
    post({ type: 'log', level, message: String(text), fields: { ...plain(fields), ...ids } })
  }
  return {
    ids,
    context: {
      // Made when it is asked for: most jobs never do, and listening costs more than a quick job.
      get signal() {
        stop ??= createStopSignal(control, lane)
        return stop.signal
      },
      progress: (fraction: unknown, text: unknown = '') => control.setProgress(lane, Number(fraction), String(text)),
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      ...ids,
    },
    broken,
    isOver: () => isOver,
    breakWith(thrown) {
      const { message: text, ...rest } = describeThrown(thrown)
      const error = { ...rest, code: 'crashed', message: `an error that nobody caught: ${text}` } as const
      resolve({ ok: false, error, isRetryable: true })
    },
    exitWith: (code) => control.setExitCode(lane, code),
    end() {
      isOver = true
      stop?.end()
    },
  }
}

/** Fields as JSON has them: what cannot be cloned must not fail the job that logs it. */
function plain(fields: unknown): object {
  try {
    return Object(JSON.parse(JSON.stringify(fields ?? {})))
  } catch {
    return { fields: 'not JSON' }
  }
}
