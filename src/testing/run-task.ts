/** One attempt of a task in the test itself, without a service: for what a task returns, throws, tells and logs. */
import type { AsJson } from '../client/named-tasks.ts'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Progress } from '../domain/job.ts'
import type { SchemaInput } from '../domain/task-call.ts'
import type { TaskContext, TaskDefinition } from '../domain/task.ts'
import { encodeResult } from '../execution/result.ts'
import { readProgress } from '../execution/running-task.ts'
import { createTaskLog, type TaskLine } from '../execution/task-log.ts'
import { checkInput } from '../tasks/input.ts'
import { checkTask } from '../tasks/task.ts'

/** What the task is given; each has a default. */
export type TestContext = Partial<Omit<TaskContext, 'progress' | 'log'>>

export interface TaskTrial<Result> {
  /** As a caller would get it: what was returned, as JSON has it. */
  readonly result: Result
  /** Every progress that the task reported, in order. */
  readonly progress: readonly Progress[]
  /** All that was logged, in order. */
  readonly log: readonly Pick<TaskLine, 'level' | 'message' | 'fields'>[]
}

type RunTaskArguments<Input> = undefined extends Input
  ? [input?: Input, context?: TestContext]
  : [input: Input, context?: TestContext]

/**
 * Checks the input as the service does, runs the task once, and writes its result as JSON. Rejects with what the task
 * throws. No time limit holds; end a task with a `signal` of your own.
 * @throws TypeError for an input that its schema refuses, and for a result that is no JSON
 */
export async function runTask<Schema extends StandardSchemaV1 | undefined, Result>(
  definition: TaskDefinition<Schema, Result>,
  ...[input, given = {}]: RunTaskArguments<SchemaInput<Schema>>
): Promise<TaskTrial<AsJson<Awaited<Result>>>> {
  const { after = [], attempt = 1, runId = '00000000-0000-7000-8000-000000000000', jobIndex = 0, traceparent } = given
  const name = definition.name ?? ''
  const task = checkTask(name, '', definition, name === '' ? 'the task' : name)
  const progress: Progress[] = []
  const log: TaskLine[] = []
  const checked = await checkInput(task, input === undefined ? undefined : JSON.parse(JSON.stringify(input)))
  if (!checked.ok) {
    const issues = checked.issues.map(({ pointer, detail }) => `${pointer || '/'}: ${detail}`)
    throw new TypeError(`the input is refused: ${issues.join('; ')}`)
  }
  const returned = await task.run(checked.value, {
    signal: given.signal ?? new AbortController().signal,
    progress: (fraction, message) => void progress.push(readProgress(fraction, message)),
    log: createTaskLog({ runId, jobIndex, attempt, task: name }, (line) => void log.push(line)),
    after,
    attempt,
    runId,
    jobIndex,
    ...(traceparent !== undefined && { traceparent }),
  })
  const encoded = encodeResult(returned)
  if (!encoded.ok) throw new TypeError(encoded.problem)
  return { result: JSON.parse(encoded.text) as AsJson<Awaited<Result>>, progress, log }
}
