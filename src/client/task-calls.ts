/** Gives each task of a request that is asked for by its definition the name that the service knows it by. */
import type { TaskCall } from '../domain/task-call.ts'

/** Resolves to undefined for a definition that it does not know. */
export type NameOf = (definition: object) => Promise<string | undefined>

/**
 * The request as the service reads it; a list of tasks is short for a request with these tasks.
 * @throws TypeError for a definition without a name
 */
export async function withNames(request: object, nameOf: NameOf | undefined): Promise<object> {
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
