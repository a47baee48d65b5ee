/** Runs a task definition as the service does: input through its schema, result through JSON. */
import * as assert from 'uvu/assert'
import { z } from 'zod'
import type { TaskContext } from '../../src/domain/task.ts'

/** Runs the work, and keeps nothing. */
const step: TaskContext['step'] = async (_name, work) => JSON.parse(JSON.stringify((await work()) ?? null))

/** A context whose signal can be chosen; progress and log go nowhere. */
export function contextWith(members: Partial<TaskContext> = {}): TaskContext {
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const { signal } = new AbortController()
  return { signal, progress() {}, log, step, after: [], attempt: 1, runId: 'run', jobIndex: 0, ...members }
}

interface Task<Input, Output> {
  readonly input?: z.ZodType<Output, Input>
  run(input: Output, context: TaskContext): unknown
}

/** Resolves to the result; fails when the result is not a JSON value. */
export async function perform<Input, Output>(
  task: Task<Input, Output>,
  input: Input,
  context: TaskContext = contextWith(),
): Promise<unknown> {
  if (task.input === undefined) throw new Error('The task has no input schema.')
  const result = await task.run(task.input.parse(input), context)
  const text = JSON.stringify(result)
  const received: unknown = JSON.parse(text)
  assert.equal(received, result, 'the result is a JSON value')
  return received
}

const refusalShape = z.object({ code: z.string(), status: z.literal(422), message: z.string() })

/** Resolves to the message of the refusal (status 422) that the promise must be rejected with. */
export async function refused(promise: Promise<unknown>, code: string): Promise<string> {
  const error = await promise.then(
    () => new Error('nothing was refused'),
    (reason: unknown) => reason,
  )
  const refusal = refusalShape.safeParse(error)
  if (!refusal.success) throw error
  assert.is(refusal.data.code, code)
  return refusal.data.message
}
