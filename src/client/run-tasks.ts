/** POST /run-tasks, with retries under one idempotency key, and the types of its requests and runs. */
import type { AsJson } from '../domain/json.ts'
import type { SchemaInput, TaskCall, TaskDefinition } from '../domain/task.ts'
import type { RunInput, SchedulePut } from '../http/validation.ts'
import type { RunView } from '../http/views/run.ts'
import { isAnswer, isTemporary, jitteredBackOffMs, ProblemError, sleep, type Transport } from './transport.ts'

export interface EnqueueOptions {
  /** 1 to 255 characters. Default: a new key for each call. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

export interface RunTasksOptions extends EnqueueOptions {
  /** The longest time to wait for the answer, in seconds, at most 60. Default: as long as the task takes. */
  readonly waitS?: number
  /** Resolves at once, to a run without an answer. */
  readonly respondAsync?: boolean
}

const maxTries = 5
const firstPauseMs = 200
/** If the service asks for a longer wait before the next try, the call fails. */
const maxRetryAfterS = 60
/** How long a try waits for the answer of an earlier one with its key, unless the caller sets `waitS`. */
const joinS = 60

/**
 * A remote call is tried again after a temporary failure. All its tries have one idempotency key: the caller's, or a new one.
 * @param nameOf finds the names of definitions that do not state them
 */
export function createRunCalls({ read, json, isRemote }: Transport, nameOf?: NameOf) {
  /** @param ifInProgress whether to wait for the answer of an earlier request with the same key, or to throw */
  async function run(request: object | undefined, options: RunTasksOptions, ifInProgress: 'join' | 'throw') {
    // Made once, because the service refuses a key that comes with other bytes.
    const body = request === undefined ? undefined : json.stringify(await withNames(request, nameOf))
    const { respondAsync = false, idempotencyKey = isRemote ? newKey() : undefined, signal } = options
    let { waitS } = options
    for (let tries = 1; ; tries += 1) {
      const headers = headersOf({ respondAsync, waitS, idempotencyKey })
      try {
        return await read<RunView>({ method: 'POST', path: '/run-tasks', headers, body, signal })
      } catch (error) {
        const canRetry = isInProgress(error) ? ifInProgress === 'join' : isRemote && isTemporary(error)
        const retryAfterS = error instanceof ProblemError ? error.retryAfterS : null
        if (!canRetry || tries === maxTries || (retryAfterS ?? 0) > maxRetryAfterS) throw error
        // The next try waits for the answer of the earlier one.
        if (isInProgress(error) && !respondAsync) waitS ??= joinS
        await sleep(retryAfterS === null ? jitteredBackOffMs(tries, firstPauseMs) : retryAfterS * 1_000, signal)
      }
    }
  }

  return {
    runTasks: (request?: object, options: RunTasksOptions = {}) => run(request, options, 'join'),
    async enqueue(request?: object, options: EnqueueOptions = {}) {
      // The options may be those of another call to `runTasks`. With `waitS` the service would wait for the answer.
      const { waitS: _waitS, ...others }: RunTasksOptions = options
      try {
        return await run(request, { ...others, respondAsync: true }, 'throw')
      } catch (error) {
        // An earlier request with this key has created the run, which is all that the caller wants.
        if (!(isAnswer(error) || isInProgress(error)) || error.runId === undefined) throw error
        return await read<RunView>({ path: `/runs/${encodeURIComponent(error.runId)}`, signal: options.signal })
      }
    },
  }
}

interface HeaderOptions {
  readonly respondAsync: boolean
  readonly waitS: number | undefined
  readonly idempotencyKey: string | undefined
}

function headersOf({ respondAsync, waitS, idempotencyKey }: HeaderOptions): Record<string, string> {
  const preferences = [...(respondAsync ? ['respond-async'] : []), ...(waitS === undefined ? [] : [`wait=${waitS}`])]
  return {
    ...(idempotencyKey !== undefined && { 'Idempotency-Key': quoted(idempotencyKey) }),
    ...(preferences.length > 0 && { Prefer: preferences.join(', ') }),
  }
}

function isInProgress(error: unknown): error is ProblemError {
  return error instanceof ProblemError && error.code === 'idempotency-in-progress'
}

function quoted(key: string): string {
  return `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

/** 128 random bits. `crypto.randomUUID` is missing on pages that are not served over HTTPS. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Resolves to undefined for an unknown definition. */
export type NameOf = (definition: object) => Promise<string | undefined>

/**
 * Turns a list of tasks into a request, and definitions that were called into names.
 * @throws TypeError for a definition without a name
 */
async function withNames(request: object, nameOf: NameOf | undefined): Promise<object> {
  const whole = Array.isArray(request) ? { tasks: request as unknown } : request
  const entries: unknown = Reflect.get(whole, 'tasks')
  if (!Array.isArray(entries) || !entries.some(isTaskCall)) return whole
  const tasks = await Promise.all(
    entries.map(async (entry: unknown) => {
      if (!isTaskCall(entry)) return entry
      const { task, ...rest } = entry
      return { ...rest, name: await nameOfTask(task, nameOf) }
    }),
  )
  return { ...whole, tasks }
}

/** An entry whose `task` is anything else is left for the service to refuse. */
function isTaskCall(entry: unknown): entry is TaskCall {
  const task: unknown = typeof entry === 'object' && entry !== null && 'task' in entry ? entry.task : undefined
  return (typeof task === 'function' || typeof task === 'object') && task !== null && 'run' in task
}

async function nameOfTask(task: object, nameOf: NameOf | undefined): Promise<string> {
  const ownName: unknown = Reflect.get(task, 'name')
  const name = (await nameOf?.(task)) ?? ownName
  if (typeof name === 'string' && name !== '') return name
  const remedy = 'give it the name of its file: defineTask({ name, … })'
  throw new TypeError(`a task of the request is not known by its definition here; ${remedy}`)
}

// Types of requests and runs for a program that knows which tasks the service has. They do not exist at run time.

/** Definitions of tasks by name. */
export type TaskMap<Tasks> = { readonly [Name in keyof Tasks]: TaskDefinition }

/** For a program that does not know the tasks. */
export type AnyTasks = Readonly<Record<string, TaskDefinition>>

type TaskName<Tasks> = keyof Tasks & string
type Entry = NonNullable<RunInput['tasks']>[number]

/** The input as the caller sends it, before a schema transforms it. */
type InputOf<Task> = Task extends { readonly input?: infer Schema } ? SchemaInput<NonNullable<Schema>> : unknown

/** A task that accepts `undefined` needs no input. */
type InputMember<Input> = undefined extends Input ? { readonly input?: Input } : { readonly input: Input }

type EntryOf<Tasks, Key extends TaskName<Tasks>> = Omit<Entry, 'name' | 'input'> & {
  readonly name: Key
} & InputMember<InputOf<Tasks[Key]>>

/** One task of a request. */
export type TaskEntry<Tasks> = { [Key in TaskName<Tasks>]: EntryOf<Tasks, Key> }[TaskName<Tasks>]

type Respond = NonNullable<RunInput['respond']>

/** An entry of a request: a task by name, or a definition that was called. */
type AnyEntry<Tasks> = TaskEntry<Tasks> | TaskCall

/** A request for some of these tasks. */
export type RunInputOf<Tasks, Entries extends readonly AnyEntry<Tasks>[], Mode extends Respond> = Omit<
  RunInput,
  'tasks' | 'respond'
> & { readonly tasks?: Entries | undefined; readonly respond?: Mode | undefined }

type ResultOf<Tasks, Each> =
  Each extends TaskCall<infer Result>
    ? AsJson<Awaited<Result>>
    : Each extends { readonly name: infer Key extends keyof Tasks }
      ? Tasks[Key] extends { run(...given: never[]): infer Result }
        ? AsJson<Awaited<Result>>
        : unknown
      : unknown

type DecidedResult<Tasks, Entries extends readonly unknown[], Mode> = [Mode] extends ['race' | 'any']
  ? ResultOf<Tasks, Entries[number]>
  : [Mode] extends ['first']
    ? ResultOf<Tasks, Entries[0]>
    : unknown

/** A run whose `result`, or `results` with `respond: 'all'`, has the types of the tasks. */
export type RunOf<Tasks, Entries extends readonly unknown[], Mode> = Omit<RunView, 'result' | 'results'> & {
  readonly result?: DecidedResult<Tasks, Entries, Mode>
  readonly results?: { readonly [Index in keyof Entries]: ResultOf<Tasks, Entries[Index]> }
}

/** A schedule whose runs have some of these tasks. */
export type SchedulePutOf<Tasks> = Omit<SchedulePut, 'request'> & {
  readonly request: Omit<SchedulePut['request'], 'tasks'> & { readonly tasks?: readonly TaskEntry<Tasks>[] | undefined }
}

/** `runTasks` and `enqueue`, with the request and the run typed by the tasks. */
export interface RunTasksOf<Tasks extends TaskMap<Tasks>, Options> {
  /** @param request the tasks alone, or a whole request. Default: the default run of the service */
  <const Entries extends readonly AnyEntry<Tasks>[], const Mode extends Respond = 'first'>(
    request?: Entries | RunInputOf<Tasks, Entries, Mode>,
    options?: Options,
  ): Promise<RunOf<Tasks, Entries, Mode>>
}
