/**
 * A running task, on the main thread or on a thread of the pool: its context, which task the current code belongs to, and
 * how code that runs outside of `run` ends the attempt.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type ClaimedJob,
  failedBy,
  type AttemptOutcome,
  type Outcome,
  type Progress,
  type AttemptSteps,
} from '../domain/claim.ts'
import type { RequestIssue } from '../domain/problems.ts'
import type { JobErrorCode } from '../domain/job.ts'
import { apply, now, parse, toNumber, toText } from '../runtime/primordials.ts'
import { isRetryableThrown, serializeError } from '../runtime/serialize-error.ts'
import type { StepFunction, TaskContext } from '../domain/task.ts'
import { traceFields } from '../telemetry/trace-context.ts'
import { checkInput, type Task } from '../tasks/task-module.ts'
import { createHide, type Hide } from '../runtime/secret.ts'
import { encodeResult } from './result.ts'
import { createStep, createTaskLog, type LimitedLog, type LineIds, type TaskLine } from './task-context.ts'

export interface RunningTask {
  readonly ids: LineIds
  readonly context: TaskContext
  readonly host: TaskHost
  /** While its module is loaded, its code is not barred from calls that affect the process. */
  isLoading: boolean
  /** Hides what the task marks as secret; null if nothing is secret, and before the input is read. */
  hide: Hide | null
  /** null before the task logs. */
  log: LimitedLog | null
}

/** What differs between the main thread and a thread of the pool. */
export interface TaskHost {
  /** Its name in log lines. */
  readonly called: 'a job' | 'a first job'
  readonly attempt: TaskAttempt
  signal(): AbortSignal
  /** `fraction` is from 0 to 1, or NaN. */
  report(progress: Progress): void
  /** Called once at most. */
  steps(): AttemptSteps
  write(line: TaskLine): void
  /** The task calls `process.exit` or `process.reallyExit`. */
  onExit(code: number, name: string): void
}

/** The attempt that a task runs for. The task itself may go on after it. */
export interface TaskAttempt {
  readonly outcome: Promise<AttemptOutcome>
  isOver(): boolean
  /** Ends it unless it has ended. */
  breakOff(outcome: Outcome): void
}

/** The task that the current code belongs to: it follows callbacks, timers and promises. */
export const currentTask = new AsyncLocalStorage<RunningTask>()

// Taken before any task runs, because a job can change what the next one depends on.
export const taskNow = currentTask.getStore.bind(currentTask)
export const isInTask = (): boolean => taskNow()?.isLoading === false
const { NaN: notANumber } = Number

declare global {
  namespace NodeJS {
    interface Process {
      /** Called by process.exit(), and directly by some packages. Missing in Node's own types. */
      reallyExit(code?: number): never
    }
  }
}

type Ids = Pick<ClaimedJob, 'runId' | 'jobIndex' | 'attempt' | 'task' | 'after' | 'steps' | 'traceparent'>

export function createRunningTask(job: Ids, host: TaskHost): RunningTask {
  const { runId, jobIndex, attempt, task, traceparent } = job
  const lineIds = { runId, jobIndex, attempt, task }
  // Spread only with a trace, because that costs more than the rest of this function.
  const ids: LineIds = traceparent === undefined ? lineIds : { ...lineIds, ...traceFields(traceparent) }
  const startedAt = now()
  const { isOver } = host.attempt
  let after: readonly unknown[] | undefined
  let step: StepFunction | undefined
  const context: TaskContext & { traceparent?: string } = {
    get signal() {
      return host.signal()
    },
    progress(fraction: unknown, message?: unknown) {
      if (!isOver()) host.report(hidden(running, readProgress(fraction, message)))
    },
    get log() {
      running.log ??= createTaskLog(ids, (line) => host.write(hidden(running, line)))
      return running.log.log
    },
    get after() {
      return (after ??= parseAll(job.after))
    },
    get step() {
      return (step ??= createStep({ stored: job.steps ?? 0, steps: host.steps(), isOver, startedAt }))
    },
    attempt,
    runId,
    jobIndex,
  }
  if (traceparent !== undefined) context.traceparent = traceparent
  const running: RunningTask = { ids, context, host, isLoading: false, hide: null, log: null }
  return running
}

function hidden<Value>({ hide }: Pick<RunningTask, 'hide'>, value: Value): Value {
  return hide === null ? value : hide(value)
}

function parseAll(texts: readonly string[] = []): unknown[] {
  const values: unknown[] = []
  for (let index = 0; index < texts.length; index += 1) values[index] = parse(texts[index] as string)
  return values
}

/** Fails the attempt with an uncaught error; after the end of the attempt, only logs it. */
export function breakTask(running: RunningTask, thrown: unknown): void {
  const { ids, host } = running
  const error = hidden(running, serializeError(thrown))
  const { message, ...rest } = error
  if (host.attempt.isOver()) {
    // Serialized, because a logger can fail at a value that a task throws.
    host.write({ level: 'warn', message: `an error of ${host.called} that had ended`, fields: { ...ids, error } })
  } else {
    host.attempt.breakOff(failedBy({ ...rest, code: 'crashed', message: `an error that nobody caught: ${message}` }))
  }
}

/** Accepts any value, because a report must not fail the task. A message that is not a text is empty. */
export function readProgress(fraction: unknown, message: unknown): Progress {
  const part = typeof fraction === 'number' || typeof fraction === 'string' ? toNumber(fraction) : notANumber
  const isText = typeof message === 'string' || typeof message === 'number' || typeof message === 'boolean'
  return { fraction: part > 1 ? 1 : part < 0 ? 0 : part, message: isText ? toText(message) : '' }
}

/** Calls `onExit` of the running task before the process ends. Call it before any task is loaded. */
export function trapExit(name: 'exit' | 'reallyExit'): void {
  const exit = process[name]
  process[name] = (code) => {
    taskNow()?.host.onExit(toNumber(code ?? process.exitCode ?? 0), name)
    return apply(exit, process, [code]) as never
  }
}

/**
 * Runs a task once: parses the input, checks it by the task's schema, calls the task and encodes its result. Never throws.
 * @param input JSON text; null: the task gets `undefined`
 * @param call calls the synchronous part of the task
 */
export async function runTask(
  task: Task,
  input: string | null,
  context: TaskContext,
  call: (run: () => unknown) => unknown = (run) => run(),
): Promise<Outcome> {
  // A task that is tried in a test is not a running task.
  const running: Pick<RunningTask, 'hide' | 'log'> = taskNow() ?? { hide: null, log: null }
  try {
    const given: unknown = input === null ? undefined : parse(input)
    running.hide = createHide(task.secret, given)
    const checked = await checkInput(task, given)
    if (!checked.ok) {
      const issues = hidden(running, describeIssues(checked.issues))
      return failed('task_error', `the stored input no longer fits the task's schema${issues}`)
    }
    const encoded = encodeResult(await call(() => task.run(checked.value, context)))
    return encoded.ok ? { ok: true, result: encoded.text } : failed('invalid_result', `the result ${encoded.problem}`)
  } catch (error) {
    const thrown = hidden(running, serializeError(error))
    return { ok: false, error: { code: 'task_error', ...thrown }, isRetryable: isRetryableThrown(error) }
  } finally {
    running.log?.reportDropped()
  }
}

function describeIssues(issues: readonly RequestIssue[]): string {
  let text = ''
  for (let index = 0; index < issues.length; index += 1) {
    const { pointer, detail } = issues[index] as RequestIssue
    text += `${index === 0 ? ':' : ';'} ${pointer || '/'}: ${detail}`
  }
  return text
}

/** Not retryable, because another attempt would give the same. */
function failed(code: JobErrorCode, message: string): Outcome {
  return { ok: false, error: { code, message }, isRetryable: false }
}
