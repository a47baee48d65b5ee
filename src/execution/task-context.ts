/** Parts of a task's context, wherever it runs: its log, with bounds on the lines, and its stored steps. */
import { types } from 'node:util'
import { maxStepBytes, maxStepNameLength, maxSteps, type AttemptSteps } from '../domain/claim.ts'
import type { LogLevel } from '../domain/task-history.ts'
import type { StepFunction, TaskLog } from '../domain/task.ts'
import { floor, get, isObject, isWellFormed, now, parse, stringify, toText } from '../runtime/primordials.ts'
import { cut, serializeError } from '../runtime/serialize-error.ts'
import type { TraceFields } from '../telemetry/trace-context.ts'
import { encodeResult } from './result.ts'

export interface LineIds extends TraceFields {
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
  readonly task: string
}

export interface TaskLine {
  readonly level: LogLevel
  readonly message: string
  /** The ids. Values of the task are only in `fields` and `error`, so that they cannot replace other members of the line. */
  readonly fields: LineIds & { readonly fields?: unknown; readonly error?: unknown }
}

/** Bounds of one job and of all jobs on a thread, so that lines cannot keep the main thread busy. */
const maxLinesPerSecond = 1_000
const maxLinesOfThread = 2_000
/** In the worst case, one turn of the main thread handles all lines of this time. */
const threadWindowMs = 100
const maxMessageLength = 4_096
const maxFieldsLength = 4_096
const maxErrorLength = 16_384
const msPerSecond = 1_000

const { isNativeError } = types
const WebError = DOMException

/** Lines of all jobs on this thread in the current window. */
const threadLines = { window: 0, count: 0 }

export type LimitedLog = ReturnType<typeof createTaskLog>

/** @param write must not throw */
export function createTaskLog(ids: LineIds, write: (line: TaskLine) => void) {
  let second = 0
  let lines = 0
  let dropped = 0

  /** Writes how many lines were dropped since the last report, if any. */
  function reportDropped(): void {
    if (dropped === 0) return
    const message = `${dropped} lines of a job were dropped: too many came at once`
    dropped = 0
    write({ level: 'warn', message, fields: ids })
  }

  function mayWrite(): boolean {
    const at = now()
    const currentSecond = floor(at / msPerSecond)
    if (currentSecond !== second) {
      second = currentSecond
      lines = 0
      reportDropped()
    }
    const currentWindow = floor(at / threadWindowMs)
    if (currentWindow !== threadLines.window) {
      threadLines.window = currentWindow
      threadLines.count = 0
    }
    if (lines >= maxLinesPerSecond || threadLines.count >= maxLinesOfThread) {
      dropped += 1
      return false
    }
    lines += 1
    threadLines.count += 1
    return true
  }

  const at =
    (level: LogLevel) =>
    (...given: unknown[]) => {
      if (mayWrite()) write({ level, ...lineOf(ids, given) })
    }
  const log: TaskLog = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  return { log, reportDropped }
}

/** The first text is the message, the first error is the line's error, everything else is in its fields. */
function lineOf(ids: LineIds, given: readonly unknown[]): Omit<TaskLine, 'level'> {
  let text: string | undefined
  let thrown: object | undefined
  const others: unknown[] = []
  for (let index = 0; index < given.length; index += 1) {
    const value = given[index]
    if (value === undefined) continue
    if (thrown === undefined && isError(value)) thrown = value
    else if (text === undefined && !isObject(value)) text = toText(value)
    else others[others.length] = value
  }
  const error = thrown === undefined ? undefined : serializeError(thrown)
  return {
    message: cut(text ?? error?.message ?? '', maxMessageLength),
    fields: {
      ...ids,
      ...(error !== undefined && { error: plain(error, maxErrorLength) }),
      ...(others.length > 0 && { fields: plain(others.length === 1 ? others[0] : others, maxFieldsLength) }),
    },
  }
}

/** Converts the value to JSON, because a value that cannot be cloned must not fail the job that logs it. */
function plain(value: unknown, maxLength: number): unknown {
  try {
    const text = stringify(value, readable) ?? toText(value)
    return text.length <= maxLength ? parse(text) : cut(text, maxLength)
  } catch (error) {
    return `not JSON: ${serializeError(error).message}`
  }
}

/** For JSON.stringify, which writes {} for an error and fails at a bigint. */
function readable(this: unknown, key: string, value: unknown): unknown {
  const given: unknown = get(this as object, key)
  if (isError(given)) return serializeError(given)
  return typeof value === 'bigint' ? toText(value) : value
}

function isError(value: unknown): value is object {
  return isNativeError(value) || value instanceof WebError
}

export interface StepOptions {
  /** How many steps are stored. */
  readonly stored: number
  readonly steps: AttemptSteps
  isOver(): boolean
  /** When the attempt began, by `performance.now()`. */
  readonly startedAt: number
}

/**
 * After this time a step first confirms the claim: a process that was stopped or disconnected for twice as long may have
 * lost it. A confirmation for each step would cost a read each.
 */
const confirmAfterMs = 4_000

const createObject = Object.create

const nameRule = `its name must be a text of 1 to ${maxStepNameLength} characters, well-formed and without NUL`

/** Not retryable, because another attempt would give the same. */
class StepError extends Error {
  override readonly name = 'StepError'
  readonly retryable = false
}

const stepError = (name: string, problem: string): StepError => new StepError(`step "${name}": ${problem}`)

/**
 * `context.step` of one attempt. Steps that earlier attempts stored are read in pages, from the first call on, so that only
 * some of many large values are in memory.
 */
export function createStep({ stored, steps, isOver, startedAt }: StepOptions): StepFunction {
  const used = createObject(null) as Record<string, true>
  /** Values that were read and not used yet, by name. */
  const found = createObject(null) as Record<string, string>
  /** Index of the next stored step to read; null: all were read. */
  let next: number | null = stored === 0 ? null : 0
  let reading: Promise<void> | null = null
  /** Steps that are stored or run now. */
  let count = stored
  /** When the claim was last known to be valid. */
  let confirmedAt = startedAt

  async function confirmClaim(name: string): Promise<void> {
    const askedAt = now()
    if (askedAt - confirmedAt < confirmAfterMs) return
    if ((await steps.stored(count)) === null) throw voidClaim(name)
    confirmedAt = askedAt
  }

  async function readPage(name: string, from: number): Promise<void> {
    try {
      const page = await steps.stored(from)
      if (page === null) throw voidClaim(name)
      for (let index = 0; index < page.steps.length; index += 1) {
        const step = page.steps[index]
        if (step !== undefined) found[step.name] = step.value
      }
      next = page.next
    } finally {
      reading = null
    }
  }

  async function findStored(name: string): Promise<string | undefined> {
    while (found[name] === undefined && next !== null) await (reading ??= readPage(name, next))
    const value = found[name]
    delete found[name]
    return value
  }

  async function run(name: string, work: () => unknown): Promise<string> {
    if (count >= maxSteps) throw stepError(name, `a job can have ${maxSteps} steps at most`)
    count += 1
    try {
      await confirmClaim(name)
      if (isOver()) throw stepError(name, 'its attempt is over')
      const encoded = encodeResult(await work(), maxStepBytes)
      if (!encoded.ok) throw stepError(name, `its value ${encoded.problem}`)
      if (isOver()) throw stepError(name, 'it was not stored, because its attempt is over')
      const askedAt = now()
      const report = await steps.keep({ name, value: encoded.text })
      if (report === 'stale') throw voidClaim(name)
      if (report === 'full')
        throw stepError(name, `it was not stored, because a job can have ${maxSteps} steps at most`)
      confirmedAt = askedAt
      return encoded.text
    } catch (error) {
      count -= 1
      throw error
    }
  }

  const step = async (name: unknown, work: unknown): Promise<unknown> => {
    if (!isName(name)) throw new StepError(`step: ${nameRule}`)
    if (typeof work !== 'function') throw stepError(name, 'its work must be a function')
    if (isOver()) throw stepError(name, 'its attempt is over')
    if (used[name] === true) throw stepError(name, 'the name was used before in this attempt')
    used[name] = true
    return parse((await findStored(name)) ?? (await run(name, work as () => unknown)))
  }
  // Values of steps are JSON, so their types hold.
  return step as StepFunction
}

function voidClaim(name: string): StepError {
  return stepError(name, 'its claim is void: the job was cancelled or is run by another attempt')
}

function isName(name: unknown): name is string {
  if (typeof name !== 'string' || name.length === 0 || name.length > maxStepNameLength) return false
  for (let index = 0; index < name.length; index += 1) if (name[index] === '\0') return false
  return isWellFormed(name)
}
