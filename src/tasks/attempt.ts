/** Runs a task once, wherever it is placed: input from JSON, through its schema, to a result in JSON. Never throws. */
import { maxResultBytes, type TaskContext } from '../domain/task.ts'
import type { JobErrorCode, Outcome } from '../domain/job.ts'
import { describeThrown, isRetryableThrown } from '../domain/thrown.ts'
import { checkInput } from './input.ts'
import type { Task } from './task.ts'

// Taken before any task runs: one that changes the global object must not change how its result is told.
const { parse, stringify } = JSON

/**
 * @param input JSON text; null where there is none, which the task sees as `undefined`
 * @param call calls the synchronous part of the task
 */
export async function runAttempt(
  task: Task,
  input: string | null,
  context: TaskContext,
  call: (run: () => unknown) => unknown = (run) => run(),
): Promise<Outcome> {
  try {
    const checked = await checkInput(task, input === null ? undefined : parse(input))
    if (!checked.ok) {
      const issues = checked.issues.map(({ pointer, detail }) => `${pointer || '/'}: ${detail}`)
      return failed('task_error', `the stored input no longer fits the task's schema: ${issues.join('; ')}`)
    }
    return encode(await call(() => task.run(checked.value, context)))
  } catch (error) {
    return { ok: false, error: { code: 'task_error', ...describeThrown(error) }, isRetryable: isRetryableThrown(error) }
  }
}

function encode(value: unknown): Outcome {
  let result: string | undefined
  try {
    result = value === undefined ? 'null' : stringify(value)
  } catch (error) {
    return failed('invalid_result', `the result is not a JSON value: ${describeThrown(error).message}`)
  }
  // A function or a symbol; TypeScript's declaration leaves this case out.
  if (result === undefined) return failed('invalid_result', `the result is not a JSON value but a ${typeof value}`)
  const bytes = Buffer.byteLength(result)
  if (bytes <= maxResultBytes) return { ok: true, result }
  return failed('invalid_result', `the result has ${bytes} bytes as JSON; ${maxResultBytes} are allowed`)
}

// Trying again would give the same.
function failed(code: JobErrorCode, message: string): Outcome {
  return { ok: false, error: { code, message }, isRetryable: false }
}
