/** The lines that a task writes to the service's log: in one form and within bounds, wherever the task runs. */
import { types } from 'node:util'
import { floor, get, now, parse, stringify, toText } from '../runtime/primordials.ts'
import type { TaskLog } from '../domain/task.ts'
import { cut, serializeError } from '../runtime/serialize-error.ts'
import type { TraceFields } from '../telemetry/trace-context.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LineIds extends TraceFields {
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

  /** The first line after a second of too many says how many were dropped. */
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

  const at =
    (level: LogLevel) =>
    (...given: unknown[]) => {
      if (mayWrite()) write({ level, ...lineOf(ids, given) })
    }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** The first text is the message, the first error is the line's error, and everything else is fields, in any order. */
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

/** As JSON has it: what cannot be cloned must not fail the job that logs it. */
function plain(value: unknown, maxLength: number): unknown {
  try {
    const text = stringify(value, readable) ?? toText(value)
    return text.length <= maxLength ? parse(text) : cut(text, maxLength)
  } catch (error) {
    return `not JSON: ${serializeError(error).message}`
  }
}

/** For JSON.stringify, which makes {} of an error, and fails for a bigint. */
function readable(this: unknown, key: string, value: unknown): unknown {
  const given: unknown = get(this as object, key)
  if (isError(given)) return serializeError(given)
  return typeof value === 'bigint' ? toText(value) : value
}

function isError(value: unknown): value is object {
  return isNativeError(value) || value instanceof WebError
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
