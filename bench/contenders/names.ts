/** The names of the tasks that a request asks for. */
export function namesOf(body: unknown): string[] {
  const tasks: unknown = Reflect.get(Object(body), 'tasks')
  if (!Array.isArray(tasks)) return ['first', 'second', 'third']
  return tasks.map((task: unknown) => String(Reflect.get(Object(task), 'name')))
}
