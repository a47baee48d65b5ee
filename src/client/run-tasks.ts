/** POST /run-tasks, sent again with the same key as long as that is safe and worth it; with its answer, or without. */
import type { AsJson } from '../domain/json.ts'
import type { SchemaInput, TaskCall, TaskDefinition } from '../domain/task.ts'
import type { RunInput, SchedulePut } from '../http/validation.ts'
import type { RunView } from '../http/views/run.ts'
import {
  isDecided,
  isPassing,
  jitteredBackOffMs,
  type JsonFormat,
  pause,
  ProblemError,
  type Send,
} from './transport.ts'

export interface RunTasksOptions {
  /** The longest time to wait for the answer, in seconds, at most 60; default: as long as the task takes. */
  readonly waitS?: number
  /** Rather be answered at once, without a result. */
  readonly respondAsync?: boolean
  /** 1 to 255 characters; default: a new one for each call. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

export interface EnqueueOptions {
  /** 1 to 255 characters; default: a new one for each call. */
  readonly idempotencyKey?: string
  readonly signal?: AbortSignal
}

export interface RunCalls {
  runTasks(request?: object, options?: RunTasksOptions): Promise<RunView>
  enqueue(request?: object, options?: EnqueueOptions): Promise<RunView>
}

/** As above, where each may be undefined too. */
type Wishes = { readonly [Name in keyof RunTasksOptions]: RunTasksOptions[Name] | undefined }

const maxTries = 5
const firstPauseMs = 200
/** A service that wants to be left alone for longer is not asked again. */
const maxRetryAfterS = 60
/** How long a try waits that finds an earlier one still being answered. */
const joinS = 60

/**
 * @param isRemote whether a request or its reply can get lost on the way: then what may pass is tried again, with a key
 * that was made for that
 * @param nameOf knows the names of definitions that do not say theirs
 */
export function createRunCalls(send: Send, isRemote: boolean, nameOf: NameOf | undefined, json: JsonFormat): RunCalls {
  async function post(body: string | undefined, options: Wishes): Promise<RunView> {
    const { waitS, respondAsync = false, idempotencyKey, signal } = options
    const prefer = [...(respondAsync ? ['respond-async'] : []), ...(waitS === undefined ? [] : [`wait=${waitS}`])]
    const headers = {
      ...(idempotencyKey !== undefined && { 'Idempotency-Key': quoted(idempotencyKey) }),
      ...(prefer.length > 0 && { Prefer: prefer.join(', ') }),
    }
    const response = await send({ method: 'POST', path: '/run-tasks', headers, body, signal })
    return json.parse(await response.text()) as RunView
  }

  /** @param joins whether a request with the same key that is still being answered is waited for */
  async function run(request: object | undefined, given: Wishes, joins: boolean): Promise<RunView> {
    // The same bytes each time, or the key would be refused.
    const body = request === undefined ? undefined : json.stringify(await withNames(request, nameOf))
    const { waitS, respondAsync, idempotencyKey = isRemote ? newKey() : undefined, signal } = given
    let waitsS = waitS
    for (let tries = 1; ; tries += 1) {
      try {
        return await post(body, { waitS: waitsS, respondAsync, idempotencyKey, signal })
      } catch (error) {
        const isEarlier = isInProgress(error)
        const isWorthIt = isEarlier ? joins : isRemote && isPassing(error)
        const after = error instanceof ProblemError ? error.retryAfterS : null
        if (!isWorthIt || tries === maxTries || (after ?? 0) > maxRetryAfterS) throw error
        if (isEarlier && respondAsync !== true) waitsS ??= joinS
        await pause(after === null ? jitteredBackOffMs(tries, firstPauseMs) : after * 1_000, signal)
      }
    }
  }

  return {
    runTasks: (request, options = {}) => run(request, options, true),
    async enqueue(request, { idempotencyKey, signal } = {}) {
      try {
        return await run(request, { idempotencyKey, signal, respondAsync: true }, false)
      } catch (error) {
        // An earlier request with this key has made the run, which is all that was wanted.
        if (!(isDecided(error) || isInProgress(error)) || error.runId === undefined) throw error
        const response = await send({ path: `/runs/${encodeURIComponent(error.runId)}`, signal })
        return json.parse(await response.text()) as RunView
      }
    },
  }
}

function isInProgress(error: unknown): error is ProblemError {
  return error instanceof ProblemError && error.code === 'idempotency-in-progress'
}

function quoted(key: string): string {
  return `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

/** 128 random bits; `crypto.randomUUID` is missing on pages that are not served securely. */
function newKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Resolves to undefined for a definition that it does not know. */
export type NameOf = (definition: object) => Promise<string | undefined>

/**
 * The request as the service reads it; a list of tasks is short for a request with these tasks.
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

/** What else has a member of that name is for the service to refuse. */
function isTaskCall(entry: unknown): entry is TaskCall {
  const task: unknown = typeof entry === 'object' && entry !== null && 'task' in entry ? entry.task : undefined
  return (typeof task === 'function' || typeof task === 'object') && task !== null && 'run' in task
}

async function nameOfTask(task: object, nameOf: NameOf | undefined): Promise<string> {
  const own: unknown = Reflect.get(task, 'name')
  const name = (await nameOf?.(task)) ?? own
  if (typeof name === 'string' && name !== '') return name
  const remedy = 'give it the name of its file: defineTask({ name, … })'
  throw new TypeError(`a task of the request is not known by its definition here; ${remedy}`)
}

/** Names of tasks, and their definitions. */
export type TaskMap<Tasks> = { readonly [Name in keyof Tasks]: TaskDefinition }

/** Any task may be there. */
export type AnyTasks = Readonly<Record<string, TaskDefinition>>

type TaskName<Tasks> = keyof Tasks & string
type Entry = NonNullable<RunInput['tasks']>[number]

/** What a caller sends, which a schema may turn into something else. */
type InputOf<Task> = Task extends { readonly input?: infer Schema } ? SchemaInput<NonNullable<Schema>> : unknown

/** A task that takes `undefined` needs no input. */
type InputMember<Input> = undefined extends Input ? { readonly input?: Input } : { readonly input: Input }

type EntryOf<Tasks, Key extends TaskName<Tasks>> = Omit<Entry, 'name' | 'input'> & {
  readonly name: Key
} & InputMember<InputOf<Tasks[Key]>>

/** One task of a request. */
export type TaskEntry<Tasks> = { [Key in TaskName<Tasks>]: EntryOf<Tasks, Key> }[TaskName<Tasks>]

type Respond = NonNullable<RunInput['respond']>

/** What a request can ask for: tasks by name, and definitions that were called. */
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

/** A run whose `result`, or with `respond: 'all'` its `results`, have the types that the tasks say. */
export type RunOf<Tasks, Entries extends readonly unknown[], Mode> = Omit<RunView, 'result' | 'results'> & {
  readonly result?: DecidedResult<Tasks, Entries, Mode>
  readonly results?: { readonly [Index in keyof Entries]: ResultOf<Tasks, Entries[Index]> }
}

/** A schedule whose runs have some of these tasks. */
export type SchedulePutOf<Tasks> = Omit<SchedulePut, 'request'> & {
  readonly request: Omit<SchedulePut['request'], 'tasks'> & { readonly tasks?: readonly TaskEntry<Tasks>[] | undefined }
}

/** `runTasks` and `enqueue`, with the request and the run of the tasks that there are. */
export interface RunTasksOf<Tasks extends TaskMap<Tasks>, Options> {
  /** @param request the tasks alone, or with everything else that a request can say */
  <const Entries extends readonly AnyEntry<Tasks>[], const Mode extends Respond = 'first'>(
    request?: Entries | RunInputOf<Tasks, Entries, Mode>,
    options?: Options,
  ): Promise<RunOf<Tasks, Entries, Mode>>
}
