/** A task: its definition, the policy that the definition sets, its rate, and the call of a definition in a request. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AsJson } from './json.ts'
import type { TaskSchedule } from './schedule.ts'

/** `cpu`: one job per thread, which can be killed. `io`: many jobs share a thread and are asked to stop. */
export const taskKinds = ['cpu', 'io'] as const
export type TaskKind = (typeof taskKinds)[number]

export const mainPlacements = ['auto', 'never', 'always'] as const
export type MainPlacement = (typeof mainPlacements)[number]

/** `thread`: tasks share the process and its threads. `process`: the task runs in a child process. */
export const isolations = ['thread', 'process'] as const
export type Isolation = (typeof isolations)[number]

/**
 * Takes a message, and fields or an error, in either order. The line has them in `fields` and `error`; without a message,
 * that of the error is used.
 */
export type WriteLine = (messageOrFields: unknown, fieldsOrMessage?: unknown) => void

/** Writes lines to the service's log, marked with run, job, attempt and task. */
export interface TaskLog {
  readonly debug: WriteLine
  readonly info: WriteLine
  readonly warn: WriteLine
  readonly error: WriteLine
}

/**
 * Runs the work and stores its result as JSON of at most 64 KiB. Once the returned promise has resolved, no attempt of the
 * job runs that work again: later attempts get the stored value. Resolves to the value after a round trip through JSON. A
 * name can be used once in an attempt, and a job can have 1,000 steps.
 */
export type StepFunction = <Value>(name: string, work: () => Value) => Promise<AsJson<Awaited<Value>>>

/** What a task gets in addition to its input. */
export interface TaskContext {
  /** Aborted when the attempt times out, or when the job must stop. */
  readonly signal: AbortSignal
  /** Reports the progress, from 0 to 1, and a message of at most 120 bytes. It is cheap: call it often. */
  readonly progress: (fraction: number, message?: string) => void
  readonly log: TaskLog
  readonly step: StepFunction
  /** Results of the jobs that `after` in the request names, in that order; empty without `after`. */
  readonly after: readonly unknown[]
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly runId: string
  readonly jobIndex: number
  /** The span of this attempt in W3C Trace Context format, for requests that the task sends; absent without a trace. */
  readonly traceparent?: string
}

/** A task module's default export. */
export interface TaskDefinition<
  Schema extends StandardSchemaV1 | undefined = StandardSchemaV1 | undefined,
  Result = unknown,
> {
  /** The name of its file, for remote callers that import the definition. */
  readonly name?: string
  /** Any Standard Schema (https://standardschema.dev); without it every JSON value is accepted. */
  readonly input?: Schema
  /** Default `cpu`. */
  readonly kind?: TaskKind
  /** Time limit of an attempt, from its start on the thread, in milliseconds: 1 … 86 400 000; default 60 000. */
  readonly timeoutMs?: number
  /** 1 … 100; default 3. */
  readonly maxAttempts?: number
  /** Soft limit for heap and external memory of an attempt, for kind `cpu`, in MiB: 16 … 65 536; default 512. */
  readonly memoryMb?: number
  /**
   * Where a first job of this task runs. `auto` (default): on the main thread, but in the pool for a while after it has
   * blocked the main thread. `never`: always in the pool. `always`: on the main thread, however long it takes.
   */
  readonly main?: MainPlacement
  /** How many jobs of this task may run in the pool of a process at once; default no limit. */
  readonly concurrency?: number
  /**
   * How many jobs of this task may start in any window of time, over all processes: `limit` (1 … 1 000 000) in `perMs`
   * (1 … 31 536 000 000). Further jobs wait, in the pool. Default no limit.
   */
  readonly rate?: Rate
  /**
   * Paths of members that are hidden from read-only keys, the search and the log, such as
   * `['input.password', 'result.token']`. A path through an array leads to each of its elements.
   */
  readonly secret?: readonly string[]
  /**
   * `thread` (default), or `process`: in a child process, one job at a time, never on the main thread. For native code
   * that can crash or does not return; a crash then fails one attempt. Only for kind `cpu`.
   */
  readonly isolation?: Isolation
  /** Runs the task by a cron pattern. The schedule has the name of the task. */
  readonly schedule?: TaskSchedule
  /** Returns, or resolves to, a JSON value of at most 1 MiB and 200 levels; `undefined` becomes null. */
  run(input: TaskInput<Schema>, context: TaskContext): Result
}

type TaskInput<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Schema> : unknown

/** The policy of a task, with defaults. Durations are in milliseconds. */
export interface TaskPolicy {
  readonly kind: TaskKind
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly memoryMb: number
  readonly main: MainPlacement
  /** null: no limit. */
  readonly concurrency: number | null
  readonly isolation: Isolation
  readonly rate: Rate | null
}

export const policyBounds = {
  timeoutMs: { min: 1, max: 86_400_000 },
  maxAttempts: { min: 1, max: 100 },
  memoryMb: { min: 16, max: 65_536 },
} as const

/** The largest result of a task, in bytes of UTF-8 JSON text. */
export const maxResultBytes = 1_048_576

/** How often jobs of a task may start: at most `limit` times in any window of `perMs`, wherever the window begins. */
export interface Rate {
  readonly limit: number
  readonly perMs: number
}

export const rateBounds = {
  limit: { min: 1, max: 1_000_000 },
  perMs: { min: 1, max: 31_536_000_000 },
} as const

/** How many jobs have started at one instant. */
export interface Starts {
  readonly at: number
  readonly count: number
}

export interface Allowance {
  /** How many more jobs may start now. */
  readonly left: number
  /** When the next job may start; null: now. */
  readonly until: number | null
}

/** Bounds what is stored of a window: instants are rounded up, so no start seems earlier than it was. */
const instantsPerWindow = 1_000

/** Instants of starts are rounded up to a multiple of this. */
export function rateStepMs({ perMs }: Rate): number {
  return Math.max(1, Math.floor(perMs / instantsPerWindow))
}

/** The instant under which a start is stored. */
export function startInstant(at: number, rate: Rate): number {
  const stepMs = rateStepMs(rate)
  return Math.ceil(at / stepMs) * stepMs
}

/** @param starts oldest first */
export function allowanceOf(starts: readonly Starts[], { limit, perMs }: Rate, at: number): Allowance {
  let left = limit
  for (const start of starts.toReversed()) {
    if (start.at <= at - perMs) break
    left -= start.count
    // With these starts the window is full, until the first of them leaves it.
    if (left <= 0) return { left: 0, until: start.at + perMs }
  }
  return { left, until: null }
}

/** What a request can set for one of its jobs, instead of the task's policy. */
export interface JobOptions {
  /** Time limit of an attempt, in milliseconds: 1 … 86 400 000. */
  readonly timeoutMs?: number | undefined
  /** 1 … 100. */
  readonly maxAttempts?: number | undefined
  /** 0 … 9, highest first; default 0. */
  readonly priority?: number | undefined
  /** Delay of the first attempt, in milliseconds. */
  readonly delayMs?: number | undefined
  /** How long the job may be due before it starts; then it fails as `expired`. In milliseconds: 1 … 31 536 000 000. */
  readonly expiresMs?: number | undefined
  /** Indexes of earlier tasks of the request: the job starts when they are completed, with their results in `context.after`. */
  readonly after?: readonly number[] | undefined
}

/** A task of a request, by its definition instead of its name. The name is looked up when the request is sent. */
export interface TaskCall<Result = unknown> extends JobOptions {
  readonly task: { run(...given: never[]): Result }
  readonly input?: unknown
}

/** The input as a caller sends it, before the schema transforms it. */
export type SchemaInput<Schema> = [Schema] extends [never]
  ? unknown
  : Schema extends StandardSchemaV1
    ? StandardSchemaV1.InferInput<Schema>
    : unknown

/** The input is optional where the schema accepts `undefined`. */
type CallArguments<Input> = undefined extends Input
  ? [input?: Input, options?: JobOptions]
  : [input: Input, options?: JobOptions]

/** A definition that can be called: `forerunner.run([csvPeek({ csv })])`. The call itself runs nothing. */
export interface DefinedTask<Schema extends StandardSchemaV1 | undefined, Result> extends TaskDefinition<
  Schema,
  Result
> {
  (...given: CallArguments<SchemaInput<Schema>>): TaskCall<Result>
}

/**
 * Types a task definition, including its result, and makes it callable. A plain object of the same shape is a task too, but
 * can only be requested by name.
 */
export function defineTask<const Schema extends StandardSchemaV1 | undefined = undefined, Result = unknown>(
  definition: TaskDefinition<Schema, Result>,
): DefinedTask<Schema, Result> {
  const task = (input?: unknown, options?: JobOptions): object => ({
    ...options,
    task,
    ...(input !== undefined && { input }),
  })
  // The function gets exactly the members of the definition, so it is a definition itself.
  Reflect.deleteProperty(task, 'name')
  Reflect.deleteProperty(task, 'length')
  // `Object`, because a value that is no object must not throw here: the loader refuses it, and names its file.
  Object.defineProperties(task, Object.getOwnPropertyDescriptors(Object(definition)))
  return task as unknown as DefinedTask<Schema, Result>
}
