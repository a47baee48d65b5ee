/** The lines that a task writes to the service's log: in one form and within bounds, wherever the task runs. */
import { types } from 'node:util'
import { floor, get, now, parse, stringify, toText } from '../domain/primordials.ts'
import type { TaskLog } from '../domain/task.ts'
import { cut, describeThrown } from '../domain/thrown.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LineIds {
  readonly runId: string
  readonly jobIndex: number
  readonly attempt: number
  readonly task: string
}

export interface TaskLine {
  readonly level: LogLevel
  readonly message: string
  /** The ids; what the task gave stands in `fields` and `error`, where it cannot be taken for anything of the line. */
  readonly fields: LineIds & { readonly fields?: unknown; readonly error?: unknown }
}

/** A job that logs without end must not keep the main thread busy with it. */
const maxLinesPerSecond = 1_000
const maxMessageLength = 4_096
const maxFieldsLength = 4_096
const maxErrorLength = 16_384
const msPerSecond = 1_000

const { isNativeError } = types
const WebError = DOMException

/** @param write must not throw */
export function createTaskLog(ids: LineIds, write: (line: TaskLine) => void): TaskLog {
  let secondNow = 0
  let lines = 0

  /** Tells of what was dropped with the first line that is not. */
  function mayWrite(): boolean {
    const current = floor(now() / msPerSecond)
    if (current !== secondNow) {
      const dropped = lines - maxLinesPerSecond
      if (dropped > 0) {
        write({ level: 'warn', message: `${dropped} lines of a job were dropped: it logs too fast`, fields: ids })
      }
      secondNow = current
      lines = 0
    }
    lines += 1
    return lines <= maxLinesPerSecond
  }

  const at = (level: LogLevel) => (first: unknown, second?: unknown) => {
    if (mayWrite()) write({ level, ...lineOf(ids, first, second) })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** A text is the message, an error is told as one, anything else is fields; in whichever order they come. */
function lineOf(ids: LineIds, first: unknown, second: unknown): Omit<TaskLine, 'level'> {
  const given: { text?: string; error?: object; fields?: unknown } = {}
  take(given, first)
  take(given, second)
  const error = given.error === undefined ? undefined : describeThrown(given.error)
  return {
    message: cut(given.text ?? error?.message ?? '', maxMessageLength),
    fields: {
      ...ids,
      ...(error !== undefined && { error: plain(error, maxErrorLength) }),
      ...(given.fields !== undefined && { fields: plain(given.fields, maxFieldsLength) }),
    },
  }
}

function take(given: { text?: string; error?: object; fields?: unknown }, value: unknown): void {
  if (value === undefined) return
  if (isError(value)) given.error = value
  else if (isObject(value) || given.text !== undefined) given.fields = value
  else given.text = toText(value)
}

/** As JSON has it: what cannot be cloned must not fail the job that logs it. */
function plain(value: unknown, maxLength: number): unknown {
  try {
    const text = stringify(value, readable) ?? toText(value)
    return text.length <= maxLength ? parse(text) : cut(text, maxLength)
  } catch (error) {
    return `not JSON: ${describeThrown(error).message}`
  }
}

/** For JSON.stringify, which makes {} of an error, and fails for a bigint. */
function readable(this: unknown, key: string, value: unknown): unknown {
  const given: unknown = get(this as object, key)
  if (isError(given)) return describeThrown(given)
  return typeof value === 'bigint' ? toText(value) : value
}

function isError(value: unknown): value is object {
  return isNativeError(value) || value instanceof WebError
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
