/** A job on this thread: its context, and the ways in which code of its own can end it from outside `run`. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { getHeapStatistics } from 'node:v8'
import type { Outcome } from '../domain/job.ts'
import type { TaskContext } from '../domain/task.ts'
import { describeThrown } from '../domain/thrown.ts'
import type { ControlBlock } from './control-block.ts'
import type { JobMessage, LogLevel, LogMessage } from './messages.ts'
import { createStopSignal, type StopSignal } from './stop-signal.ts'

export interface RunningJob {
  readonly ids: { readonly runId: string; readonly jobIndex: number; readonly attempt: number }
  readonly context: TaskContext
  /** The first outcome that it was given. */
  readonly outcome: Promise<Outcome>
  isOver(): boolean
  /** Its module is loaded: from now on its time and its memory count. False when it is over, or is to stop, already. */
  begin(): boolean
  hasBegun(): boolean
  /** It has come to an outcome of its own. */
  settle(outcome: Outcome): void
  /** Something of the job's threw where nobody could catch it. */
  breakWith(thrown: unknown): void
  /** Code of the job's is about to end the thread. */
  exitWith(code: number): void
  end(): void
}

/** Lines per second and job, and characters per line, that go on to the log. */
const maxLinesPerSecond = 1_000
const maxLineLength = 4_096

/** Whose code is running: follows callbacks, timers and promises. */
export const currentJob = new AsyncLocalStorage<RunningJob>()

// Taken before any task runs, for a job that has ended can still change what the next one depends on.
const withResolvers = Promise.withResolvers.bind(Promise)

/** @returns null when the job was taken back before */
export function takeJob(
  message: JobMessage,
  control: ControlBlock,
  post: (message: LogMessage) => void,
): RunningJob | null {
  if (!control.take(message.lane)) return null
  const { lane, runId, jobIndex, attempt } = message
  const ids = { runId, jobIndex, attempt }
  const { promise, resolve }: PromiseWithResolvers<Outcome> = withResolvers()
  let isOver = false
  let hasBegun = false
  let stop: StopSignal | undefined

  const mayLog = createLogLimit((dropped) => {
    post({
      type: 'log',
      level: 'warn',
      message: `${dropped} lines of a job were dropped: it logs too fast`,
      fields: ids,
    })
  })
  const log = (level: LogLevel) => (text: unknown, fields?: Readonly<Record<string, unknown>>) => {
    if (!mayLog()) return
    post({ type: 'log', level, message: cut(String(text)), fields: { ...plain(fields), ...ids } })
  }
  return {
    ids,
    context: {
      // Made when it is asked for: most jobs never do, and listening costs more than a quick job.
      get signal() {
        // After the end the lane is the next job's.
        if (stop === undefined && isOver) return new AbortController().signal
        stop ??= createStopSignal(control, lane)
        return stop.signal
      },
      progress(fraction: unknown, text: unknown = '') {
        if (!isOver) control.setProgress(lane, Number(fraction), String(text))
      },
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') },
      ...ids,
    },
    outcome: promise,
    isOver: () => isOver,
    begin() {
      // After the end the lane is the next job's.
      if (isOver) return false
      if (control.isStopped(lane)) {
        resolve({ ok: false, error: { code: 'cancelled', message: 'was not begun' }, isRetryable: false })
        return false
      }
      const { used_heap_size: heapBytes, external_memory: externalBytes } = getHeapStatistics()
      control.setStartBytes(lane, heapBytes + externalBytes)
      control.run(lane)
      hasBegun = true
      return true
    },
    hasBegun: () => hasBegun,
    settle: resolve,
    breakWith(thrown) {
      const { message: text, ...rest } = describeThrown(thrown)
      const error = { ...rest, code: 'crashed', message: `an error that nobody caught: ${text}` } as const
      resolve({ ok: false, error, isRetryable: true })
    },
    exitWith(code) {
      control.setExit(lane, isOver ? null : code)
      if (isOver) post({ type: 'log', level: 'warn', message: 'a job that had ended ends its thread', fields: ids })
    },
    end() {
      isOver = true
      control.end(lane)
      stop?.end()
    },
  }
}

/** A job that logs without end must not keep the main thread busy with it. */
function createLogLimit(onDropped: (lines: number) => void): () => boolean {
  let second = 0
  let lines = 0
  return () => {
    const now = Math.floor(Date.now() / 1_000)
    if (now !== second) {
      if (lines > maxLinesPerSecond) onDropped(lines - maxLinesPerSecond)
      second = now
      lines = 0
    }
    lines += 1
    return lines <= maxLinesPerSecond
  }
}

function cut(text: string): string {
  return text.length <= maxLineLength ? text : `${text.slice(0, maxLineLength)}…`
}

/** Fields as JSON has them: what cannot be cloned must not fail the job that logs it. */
function plain(fields: unknown): object {
  try {
    const text = JSON.stringify(fields ?? {})
    return text.length <= maxLineLength ? Object(JSON.parse(text)) : { fields: cut(text) }
  } catch {
    return { fields: 'not JSON' }
  }
}
