/** The tasks: GET /tasks lists what they take, GET /tasks/{name}/stats what one did; pause and resume stop one for a while. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { minuteMs, minutesPerRead, type StoredMinute } from '../../domain/task-history.ts'
import { sumUp } from '../../metrics/minutes.ts'
import type { Store } from '../../store/store.ts'
import { inputJsonSchema, type Task } from '../../tasks/task-module.ts'
import { countParameter, instantParameter, parseQuery } from '../validation.ts'
import type { RouteDependencies, Route } from '../route.ts'
import { instant } from '../views/job.ts'
import { sendJson } from '../responder.ts'
import {
  quantilesSchema,
  taskListSchema,
  type TaskListView,
  taskSchema,
  taskStatsSchema,
  type TaskStatsView,
  type TaskView,
} from '../views/stats.ts'

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
const taskExample: TaskView = { ...first, timeoutMs: 60_000, maxAttempts: 3, memoryMb: 512 }

/** @throws AppError `task-not-found` */
function taskOf(registry: RouteDependencies['registry'], name: string): Task {
  const task = registry.get(name)
  if (task === undefined) throw new AppError('task-not-found', `no task is named "${name}"`)
  return task
}

function viewTask(task: Task, store: RouteDependencies['store']): TaskView {
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
      example: { tasks: [taskExample] },
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
  { status: 200, description, json: { Task: taskSchema }, example: { ...taskExample, paused } },
]

const createSetPaused =
  (isPaused: boolean): Route['create'] =>
  ({ registry, intake, store }) =>
  async (ctx, { name = '' }) => {
    const task = taskOf(registry, name)
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

const maxStepMinutes = 1_440
const maxSteps = 2_000
const hourMs = 3_600_000

const statsQuerySchema = z.strictObject({
  from: instantParameter.exactOptional(),
  to: instantParameter.exactOptional(),
  stepMinutes: countParameter.pipe(z.int().max(maxStepMinutes, `must be at most ${maxStepMinutes}`)).default(1),
})

const statsQuery: Record<keyof z.output<typeof statsQuerySchema>, z.ZodType> = {
  from: statsQuerySchema.shape.from.describe('default: an hour before `to`'),
  to: statsQuerySchema.shape.to.describe('exclusive; default: now'),
  stepMinutes: z.int().min(1).max(maxStepMinutes).default(1).describe('how many minutes are added up'),
}

const statsExample: TaskStatsView = {
  task: 'first',
  stepMs: 60_000,
  steps: [
    {
      at: '2026-11-28T12:00:00.000Z',
      started: 42,
      completed: 41,
      failed: 1,
      retried: 0,
      waitMs: { count: 42, p50: 0.4, p99: 31 },
      runMs: { count: 42, p50: 2.1, p99: 9.4 },
    },
  ],
  starts: ['2026-11-28T11:58:00.000Z'],
}

async function readMinutes(
  store: Pick<Store, 'minutesOf'>,
  task: string,
  from: number,
  to: number,
): Promise<StoredMinute[]> {
  const rows: StoredMinute[] = []
  // Other work gets its turn between two reads.
  for (let after: StoredMinute | null = null; ;) {
    const read: readonly StoredMinute[] = await store.minutesOf({ task, from, to, after })
    rows.push(...read)
    after = read.at(-1) ?? null
    if (after === null || read.length < minutesPerRead) return rows
  }
}

export const taskStats: Route = {
  method: 'GET',
  path: '/tasks/{name}/stats',
  operationId: 'taskStats',
  summary: 'shows what a task did minute by minute',
  description:
    'Of all processes, for a week. What another process did comes when its minute is over. Steps in which nothing was done are left out.',
  area: 'service',
  query: statsQuery,
  responses: [
    {
      status: 200,
      description: 'Counts and quantiles, and when the service was started.',
      json: { TaskStats: taskStatsSchema },
      example: statsExample,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Quantiles: quantilesSchema },
  problems: ['task-not-found', 'invalid-filter', 'store-unavailable'],

  create({ store, registry, minutes, clock }) {
    return async (ctx, { name = '' }) => {
      taskOf(registry, name)
      const { stepMinutes, ...asked } = parseQuery(statsQuerySchema, ctx.query)
      const { to = clock.now() } = asked
      const { from = to - hourMs } = asked
      const stepMs = stepMinutes * minuteMs
      if (to - from > maxSteps * stepMs) {
        throw new AppError(
          'invalid-filter',
          `stepMinutes: from \`from\` to \`to\` there are more than ${maxSteps} steps`,
        )
      }
      const [rows, starts] = await Promise.all([readMinutes(store, name, from, to), readMinutes(store, '', from, to)])
      const current = minutes.current(name)
      const isAsked = current !== null && current.at >= from && current.at < to
      const view: TaskStatsView = {
        task: name,
        stepMs,
        steps: sumUp(isAsked ? [...rows, current] : rows, stepMs).map((step) => ({ ...step, at: instant(step.at) })),
        starts: starts.map(({ at }) => instant(at)),
      }
      ctx.set('Cache-Control', 'no-store')
      sendJson(ctx, view)
    }
  },
}
