/** What a task is: a named definition with an input schema, a policy and a function to run; and asking for one by it. */
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
 * A line's message, and fields or an error, in either order. They stand in the line's `fields` and `error`; an error
 * alone is the message too.
 */
export type WriteLine = (messageOrFields: unknown, fieldsOrMessage?: unknown) => void

/** Writes a line to the service's log, marked with the run, the job, the attempt and the task. */
export interface TaskLog {
  readonly debug: WriteLine
  readonly info: WriteLine
  readonly warn: WriteLine
  readonly error: WriteLine
}

/**
 * Runs the work and stores what it returned, as JSON of at most 64 KiB; once its promise has resolved, no attempt of the
 * job runs that work again: it gets the stored value. Resolves to the value as JSON has it. A name can be used once in an
 * attempt, and a job can have 1,000 steps.
 */
export type StepFunction = <Value>(name: string, work: () => Value) => Promise<AsJson<Awaited<Value>>>

/** What a task is given in addition to its input. */
export interface TaskContext {
  /** Aborted when the attempt is out of time or the job is to stop. */
  readonly signal: AbortSignal
  /** Reports how far the task is, from 0 to 1, and what it is doing, in 120 bytes. Costs no message: report often. */
  readonly progress: (fraction: number, message?: string) => void
  readonly log: TaskLog
  readonly step: StepFunction
  /** Results of the jobs named by `after` in the request, in that order; empty where it has none. */
  readonly after: readonly unknown[]
  /** 1 for the first attempt. */
  readonly attempt: number
  readonly runId: string
  readonly jobIndex: number
  /** For requests of the task's own: the span of this attempt, as W3C Trace Context names it; absent without a trace. */
  readonly traceparent?: string
}

/** A task module's default export. */
export interface TaskDefinition<
  Schema extends StandardSchemaV1 | undefined = StandardSchemaV1 | undefined,
  Result = unknown,
> {
  /** That of its file, which names the task; for callers at the other end of a network that import the definition. */
  readonly name?: string
  /** Any Standard Schema (https://standardschema.dev); without it every JSON value is accepted. */
  readonly input?: Schema
  /** Default `cpu`. */
  readonly kind?: TaskKind
  /** Per attempt, from its start on the thread, in milliseconds: 1 … 86 400 000; default 60 000. */
  readonly timeoutMs?: number
  /** 1 … 100; default 3. */
  readonly maxAttempts?: number
  /** Soft cap per attempt of kind `cpu`, heap and external memory, in MiB: 16 … 65 536; default 512. */
  readonly memoryMb?: number
  /**
   * Where a first job of this task is placed. `auto` (default): on the main thread, and in the pool for a while after
   * it held the main thread up. `never`: always in the pool. `always`: on the main thread, without a limit.
   */
  readonly main?: MainPlacement
  /** How many jobs of this task may run in the pool at once; default no limit. */
  readonly concurrency?: number
  /**
   * How often jobs of this task may start, over all processes: no more than `limit` (1 … 1 000 000) in any window of
   * `perMs` (1 … 31 536 000 000); what is beyond waits its turn, in the pool. Default no limit.
   */
  readonly rate?: Rate
  /**
   * Members that are hidden from read-only keys, the search and the log, such as `['input.password', 'result.token']`.
   * Through a list a path leads to each of its elements.
   */
  readonly secret?: readonly string[]
  /**
   * `thread` (default), or `process`: in a child process, one job at a time, never on the main thread. For native code
   * that can crash or does not return; a crash then fails one attempt. Only for kind `cpu`.
   */
  readonly isolation?: Isolation
  /** Runs the task by itself, at times of a pattern; the schedule has the name of the task. */
  readonly schedule?: TaskSchedule
  /** Returns (or resolves to) a JSON value of at most 1 MiB and 200 levels; `undefined` becomes null. */
  run(input: TaskInput<Schema>, context: TaskContext): Result
}

type TaskInput<Schema> = Schema extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<Schema> : unknown

/** A task's policy with every default filled in. Durations in milliseconds. */
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

// How often jobs of a task may start: at most `limit` in any window, wherever it begins.

export interface Rate {
  /** How many starts a window may have. */
  readonly limit: number
  /** The length of a window, in milliseconds. */
  readonly perMs: number
}

export const rateBounds = {
  limit: { min: 1, max: 1_000_000 },
  perMs: { min: 1, max: 31_536_000_000 },
} as const

/** Starts of one instant. */
export interface Starts {
  readonly at: number
  readonly count: number
}

export interface Allowance {
  /** How many more jobs may start now. */
  readonly left: number
  /** When the next one may, where none may now; else null. */
  readonly until: number | null
}

/** A window has no more instants than this: they are rounded up, which makes none of its starts seem earlier. */
const instantsPerWindow = 1_000

/** Instants are rounded up to a multiple of this. */
export function rateStepMs({ perMs }: Rate): number {
  return Math.max(1, Math.floor(perMs / instantsPerWindow))
}

export function startInstant(at: number, rate: Rate): number {
  const stepMs = rateStepMs(rate)
  return Math.ceil(at / stepMs) * stepMs
}

/** @param starts in order of their instants */
export function allowanceOf(starts: readonly Starts[], { limit, perMs }: Rate, at: number): Allowance {
  let count = 0
  for (const start of starts.toReversed()) {
    if (start.at <= at - perMs) break
    count += start.count
    // As soon as this one has left the window, there is room again.
    if (count >= limit) return { left: 0, until: start.at + perMs }
  }
  return { left: limit - count, until: null }
}

// Asking for a task by its definition, in place of its name: `{ task: csvPeek, input: { csv } }`.

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
