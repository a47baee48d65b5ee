/** GET /tasks/{name}/stats: what a task did minute by minute, in all processes. */
import { z } from 'zod'
import { AppError } from '../../domain/errors.ts'
import { minuteMs, minutesPerRead, type StoredMinute } from '../../domain/task-history.ts'
import { addUp } from '../../metrics/minutes.ts'
import type { Store } from '../../store/store.ts'
import { instantOf, parseQuery } from '../requested-runs.ts'
import type { Route } from '../route.ts'
import { instant } from '../views/job.ts'
import { sendJson } from '../views/json.ts'
import { quantilesSchema, taskStatsSchema, type TaskStatsView } from '../views/service.ts'

const maxStepMinutes = 1_440
const maxSteps = 2_000
const hourMs = 3_600_000

const querySchema = z.strictObject({
  from: instantOf.exactOptional(),
  to: instantOf.exactOptional(),
  stepMinutes: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, 'must be a whole number from 1')
    .transform(Number)
    .pipe(z.int().max(maxStepMinutes, `must be at most ${maxStepMinutes}`))
    .default(1),
})

const query: Record<keyof z.output<typeof querySchema>, z.ZodType> = {
  from: querySchema.shape.from.describe('default: an hour before `to`'),
  to: querySchema.shape.to.describe('exclusive; default: now'),
  stepMinutes: z.int().min(1).max(maxStepMinutes).default(1).describe('how many minutes are added up'),
}

const example: TaskStatsView = {
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

async function readAll(
  store: Pick<Store, 'minutesOf'>,
  task: string,
  from: number,
  to: number,
): Promise<StoredMinute[]> {
  const rows: StoredMinute[] = []
  // Between two reads, whatever else there is gets its turn.
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
  query,
  responses: [
    {
      status: 200,
      description: 'Counts and quantiles, and when the service was started.',
      json: { TaskStats: taskStatsSchema },
      example,
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Quantiles: quantilesSchema },
  problems: ['task-not-found', 'invalid-filter', 'store-unavailable'],

  create({ store, registry, minutes, clock }) {
    return async (ctx, { name = '' }) => {
      if (registry.get(name) === undefined) throw new AppError('task-not-found', `no task is named "${name}"`)
      const { stepMinutes, ...asked } = parseQuery(querySchema, ctx.query)
      const { to = clock.now() } = asked
      const { from = to - hourMs } = asked
      const stepMs = stepMinutes * minuteMs
      if (to - from > maxSteps * stepMs) {
        throw new AppError(
          'invalid-filter',
          `stepMinutes: from \`from\` to \`to\` there are more than ${maxSteps} steps`,
        )
      }
      const [rows, starts] = await Promise.all([readAll(store, name, from, to), readAll(store, '', from, to)])
      const current = minutes.current(name)
      const isAsked = current !== null && current.at >= from && current.at < to
      const view: TaskStatsView = {
        task: name,
        stepMs,
        steps: addUp(isAsked ? [...rows, current] : rows, stepMs).map((step) => ({ ...step, at: instant(step.at) })),
        starts: starts.map(({ at }) => instant(at)),
      }
      ctx.set('Cache-Control', 'no-store')
      sendJson(ctx, view)
    }
  },
}
