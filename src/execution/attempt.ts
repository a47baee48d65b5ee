/** Runs a task once, wherever it is placed: input from JSON, through its schema, to a result in JSON. Never throws. */
import type { RequestIssue } from '../domain/errors.ts'
import { parse } from '../domain/primordials.ts'
import type { TaskContext } from '../domain/task.ts'
import type { JobErrorCode, Outcome } from '../domain/job.ts'
import { serializeError, isRetryableThrown } from '../domain/serialize-error.ts'
import { checkInput } from '../tasks/input.ts'
import { encodeResult } from './result.ts'
import type { Task } from '../tasks/task.ts'

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
      return failed('task_error', `the stored input no longer fits the task's schema${told(checked.issues)}`)
    }
    return encode(await call(() => task.run(checked.value, context)))
  } catch (error) {
    return { ok: false, error: { code: 'task_error', ...serializeError(error) }, isRetryable: isRetryableThrown(error) }
  }
}

function told(issues: readonly RequestIssue[]): string {
  let text = ''
  for (let index = 0; index < issues.length; index += 1) {
    const { pointer, detail } = issues[index] as RequestIssue
    text += `${index === 0 ? ':' : ';'} ${pointer || '/'}: ${detail}`
  }
  return text
}

function encode(value: unknown): Outcome {
  const encoded = encodeResult(value)
  return encoded.ok ? { ok: true, result: encoded.text } : failed('invalid_result', encoded.problem)
}

// Trying again would give the same.
function failed(code: JobErrorCode, message: string): Outcome {
  return { ok: false, error: { code, message }, isRetryable: false }
}
