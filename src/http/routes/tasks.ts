/** The tasks that can be run, and what they take; and a stop of one of them, for a while. */
import { AppError } from '../../domain/errors.ts'
import { inputJsonSchema } from '../../tasks/input.ts'
import type { Task } from '../../tasks/task.ts'
import type { HttpDeps, Route } from '../route.ts'
import { sendJson } from '../views/json.ts'
import { taskListSchema, taskSchema, type TaskListView, type TaskView } from '../views/service.ts'

const first = {
  name: 'first',
  kind: 'io',
  main: 'auto',
  concurrency: null,
  isolation: 'thread',
  rate: null,
  paused: false,
  input: null,
} as const
const example: TaskView = { ...first, timeoutMs: 60_000, maxAttempts: 3, memoryMb: 512 }

function viewTask(task: Task, store: HttpDeps['store']): TaskView {
  return { name: task.name, ...task.policy, paused: store.pausedTasks().has(task.name), input: inputJsonSchema(task) }
}

export const listTasks: Route = {
  method: 'GET',
  path: '/tasks',
  operationId: 'listTasks',
  summary: 'lists the tasks and what they take',
  area: 'service',
  responses: [
    {
      status: 200,
      description: 'Each task, by name.',
      json: { TaskList: taskListSchema },
      example: { tasks: [example] },
    },
  ],
  schemas: { Task: taskSchema },
  problems: [],

  create({ registry, store }) {
    return (ctx) => {
      const view: TaskListView = { tasks: registry.all().map((task) => viewTask(task, store)) }
      sendJson(ctx, view)
    }
  },
}

const responsesOf = (description: string, paused: boolean): Route['responses'] => [
  { status: 200, description, json: { Task: taskSchema }, example: { ...example, paused } },
]

const createSetPaused =
  (isPaused: boolean): Route['create'] =>
  ({ registry, intake, store }) =>
  async (ctx, { name = '' }) => {
    const task = registry.get(name)
    if (task === undefined) throw new AppError('task-not-found', `no task is named "${name}"`)
    await intake.setPaused(name, isPaused)
    sendJson(ctx, viewTask(task, store))
  }

export const pauseTask: Route = {
  method: 'POST',
  path: '/tasks/{name}/pause',
  operationId: 'pauseTask',
  summary: 'has no job of a task start until it is resumed',
  description: 'Jobs that run go on, and those that are accepted wait. It holds for all processes and outlives them.',
  area: 'service',
  responses: responsesOf('The task is paused, or was so before.', true),
  problems: ['task-not-found', 'store-unavailable'],
  create: createSetPaused(true),
}

export const resumeTask: Route = {
  method: 'POST',
  path: '/tasks/{name}/resume',
  operationId: 'resumeTask',
  summary: 'lets the jobs of a paused task start again',
  area: 'service',
  responses: responsesOf('The task is not paused, or was not before.', false),
  problems: ['task-not-found', 'store-unavailable'],
  create: createSetPaused(false),
}
