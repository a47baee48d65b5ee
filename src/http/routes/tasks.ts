/** GET /tasks: the tasks that can be run, and what they take. */
import { inputJsonSchema } from '../../tasks/input.ts'
import type { Route } from '../route.ts'
import { sendJson } from '../views/json.ts'
import { taskListSchema, taskSchema, type TaskListView } from '../views/service.ts'

const first = { name: 'first', kind: 'io', main: 'auto', concurrency: null, input: null } as const
const example: TaskListView = { tasks: [{ ...first, timeoutMs: 60_000, maxAttempts: 3, memoryMb: 512 }] }

export const listTasks: Route = {
  method: 'GET',
  path: '/tasks',
  operationId: 'listTasks',
  summary: 'lists the tasks and what they take',
  area: 'service',
  responses: [{ status: 200, description: 'Each task, by name.', json: { TaskList: taskListSchema }, example }],
  schemas: { Task: taskSchema },
  problems: [],

  create({ registry }) {
    return (ctx) => {
      const tasks = registry.all().map((task) => ({ name: task.name, ...task.policy, input: inputJsonSchema(task) }))
      const view: TaskListView = { tasks }
      sendJson(ctx, view)
    }
  },
}
