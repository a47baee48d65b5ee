/** Tasks: the list of all, what one did minute by minute, and pausing and resuming one. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { type MinuteRange, minuteMs, minutesPerRead, type StoredMinute } from '../../domain/task-history.ts'
import { sumUp } from '../../metrics/minutes.ts'
import type { Store } from '../../store/store.ts'
import { inputJsonSchema, type Task } from '../../tasks/task-module.ts'
import { countParameter, instantParameter, parseQuery } from '../validation.ts'
import { jsonResponse, type Route, type RouteDependencies } from '../route.ts'
import { instant } from '../views/job.ts'
import { sendSmall } from '../responder.ts'
import {
  quantilesSchema,
  taskListSchema,
  type TaskListView,
  taskSchema,
  taskStatsSchema,
  type TaskStatsView,
  type TaskView,
} from '../views/stats.ts'

const taskExample: TaskView = {
  name: 'first',
  kind: 'io',
  main: 'auto',
  concurrency: null,
  isolation: 'thread',
  rate: null,
  paused: false,
  input: null,
  timeoutMs: 60_000,
  maxAttempts: 3,
  memoryMb: 512,
}

/** @throws AppError `task-not-found` */
function findTask(registry: RouteDependencies['registry'], name: string): Task {
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
  summary: 'lists the tasks and their inputs',
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
      sendSmall(ctx, { tasks: registry.all().map((task) => viewTask(task, store)) } satisfies TaskListView)
    }
  },
}

function taskPauseRoute(
  isPaused: boolean,
  description: string,
  route: Pick<Route, 'path' | 'operationId' | 'summary' | 'description'>,
): Route {
  return {
    ...route,
    method: 'POST',
    area: 'service',
    responses: [
      { status: 200, description, json: { Task: taskSchema }, example: { ...taskExample, paused: isPaused } },
    ],
    problems: ['task-not-found', 'store-unavailable'],

    create({ registry, intake, store }) {
      return async (ctx, { name = '' }) => {
        const task = findTask(registry, name)
        await intake.setPaused(name, isPaused)
        sendSmall(ctx, viewTask(task, store))
      }
    },
  }
}

export const pauseTask = taskPauseRoute(true, 'The task is paused, or was so before.', {
  path: '/tasks/{name}/pause',
  operationId: 'pauseTask',
  summary: 'lets no job of a task start until it is resumed',
  description:
    'Running jobs go on, and new jobs are accepted and wait. It applies to all processes and lasts over restarts.',
})

export const resumeTask = taskPauseRoute(false, 'The task is not paused, or was not before.', {
  path: '/tasks/{name}/resume',
  operationId: 'resumeTask',
  summary: 'lets the jobs of a paused task start again',
})

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
  stepMinutes: z.int().min(1).max(maxStepMinutes).default(1).describe('minutes per step'),
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

/** Reads in several steps, so that other work gets its turn between them. */
async function readMinutes(
  store: Pick<Store, 'minutesOf'>,
  range: Omit<MinuteRange, 'after'>,
): Promise<StoredMinute[]> {
  const rows: StoredMinute[] = []
  for (let after: StoredMinute | null = null; ;) {
    const read: readonly StoredMinute[] = await store.minutesOf({ ...range, after })
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
    'All processes together, for a week. The current minute covers this process only. Steps without any activity are left out.',
  area: 'service',
  query: statsQuery,
  responses: [
    jsonResponse(
      'Counts and quantiles per step, and the starts of the service.',
      { TaskStats: taskStatsSchema },
      statsExample,
    ),
  ],
  schemas: { Quantiles: quantilesSchema },
  problems: ['task-not-found', 'invalid-filter', 'store-unavailable'],

  create({ store, registry, minutes, clock }) {
    return async (ctx, { name = '' }) => {
      findTask(registry, name)
      const { stepMinutes, ...query } = parseQuery(statsQuerySchema, ctx.query)
      const { to = clock.now() } = query
      const { from = to - hourMs } = query
      const stepMs = stepMinutes * minuteMs
      if (to - from > maxSteps * stepMs) {
        const detail = `stepMinutes: from \`from\` to \`to\` there are more than ${maxSteps} steps`
        throw new AppError('invalid-filter', detail)
      }
      const [rows, starts] = await Promise.all([
        readMinutes(store, { task: name, from, to }),
        // Starts of the service are stored like minutes of a task without a name.
        readMinutes(store, { task: '', from, to }),
      ])
      const current = minutes.current(name)
      const includesCurrent = current !== null && current.at >= from && current.at < to
      const view: TaskStatsView = {
        task: name,
        stepMs,
        steps: sumUp(includesCurrent ? [...rows, current] : rows, stepMs).map((step) => ({
          ...step,
          at: instant(step.at),
        })),
        starts: starts.map(({ at }) => instant(at)),
      }
      ctx.set('Cache-Control', 'no-store')
      sendSmall(ctx, view)
    }
  },
}
