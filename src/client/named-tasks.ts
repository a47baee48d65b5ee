/** Types of requests and runs where it is known which tasks there are. Nothing of it is there at run time. */
import type { AsJson } from '../domain/json.ts'
import type { SchemaInput, TaskCall, TaskDefinition } from '../domain/task.ts'
import type { RunInput, SchedulePut } from '../http/validation.ts'
import type { RunView } from '../http/views/run.ts'

/** Names of tasks, and their definitions. */
export type TaskMap<Tasks> = { readonly [Name in keyof Tasks]: TaskDefinition }

/** Any task may be there. */
export type AnyTasks = Readonly<Record<string, TaskDefinition>>

type NameOf<Tasks> = keyof Tasks & string
type Entry = NonNullable<RunInput['tasks']>[number]

/** What a caller sends, which a schema may turn into something else. */
type InputOf<Task> = Task extends { readonly input?: infer Schema } ? SchemaInput<NonNullable<Schema>> : unknown

/** A task that takes `undefined` needs no input. */
type InputMember<Input> = undefined extends Input ? { readonly input?: Input } : { readonly input: Input }

type EntryOf<Tasks, Key extends NameOf<Tasks>> = Omit<Entry, 'name' | 'input'> & {
  readonly name: Key
} & InputMember<InputOf<Tasks[Key]>>

/** One task of a request. */
export type TaskEntry<Tasks> = { [Key in NameOf<Tasks>]: EntryOf<Tasks, Key> }[NameOf<Tasks>]

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
