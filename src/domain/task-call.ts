/** Asking for a task by its definition, in place of its name: `{ task: csvPeek, input: { csv } }`. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TaskDefinition } from './task.ts'

/** What a request may say about one of its jobs, in place of what the task says. */
export interface JobOptions {
  /** Per attempt, in milliseconds: 1 … 86 400 000. */
  readonly timeoutMs?: number | undefined
  /** 1 … 100. */
  readonly maxAttempts?: number | undefined
  /** 0 … 9, the highest first; default 0. */
  readonly priority?: number | undefined
  /** Before the first attempt, in milliseconds. */
  readonly delayMs?: number | undefined
  /** How long the job may be due without a start before it fails as `expired`, in milliseconds: 1 … 31 536 000 000. */
  readonly expiresMs?: number | undefined
  /** Indexes of earlier tasks of the request: it starts when they are completed, with their results in `context.after`. */
  readonly after?: readonly number[] | undefined
}

/** One entry of a request; its name is looked up when the request is sent. */
export interface TaskCall<Result = unknown> extends JobOptions {
  readonly task: { run(...given: never[]): Result }
  readonly input?: unknown
}

/** The input as a caller sends it, which the schema may turn into something else. */
export type SchemaInput<Schema> = [Schema] extends [never]
  ? unknown
  : Schema extends StandardSchemaV1
    ? StandardSchemaV1.InferInput<Schema>
    : unknown

/** A task that takes `undefined` needs no input. */
type CallArguments<Input> = undefined extends Input
  ? [input?: Input, options?: JobOptions]
  : [input: Input, options?: JobOptions]

/** A definition that can be called: `forerunner.run([csvPeek({ csv })])`. The call runs nothing. */
export interface DefinedTask<Schema extends StandardSchemaV1 | undefined, Result> extends TaskDefinition<
  Schema,
  Result
> {
  (...given: CallArguments<SchemaInput<Schema>>): TaskCall<Result>
}

/**
 * Types a task definition, its result included, and makes it callable. A plain object of the same shape is a task too,
 * which is asked for by its name.
 */
export function defineTask<const Schema extends StandardSchemaV1 | undefined = undefined, Result = unknown>(
  definition: TaskDefinition<Schema, Result>,
): DefinedTask<Schema, Result> {
  const task = (input?: unknown, options?: JobOptions): object => ({
    ...options,
    task,
    ...(input !== undefined && { input }),
  })
  // A function has a name and a length of its own: the members of the definition take their places.
  Reflect.deleteProperty(task, 'name')
  Reflect.deleteProperty(task, 'length')
  // What is no object has no members, and is refused when the module is loaded, with the name of its file.
  Object.defineProperties(task, Object.getOwnPropertyDescriptors(Object(definition)))
  return task as unknown as DefinedTask<Schema, Result>
}
