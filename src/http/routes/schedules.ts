/** Schedules: listed, put, removed, paused, resumed, and run at once. */
import type { Context } from 'koa'
import { RawJson, textOfJson } from '../../domain/json.ts'
import type { Schedule } from '../../domain/schedule.ts'
import { mask, maskText } from '../../runtime/secret.ts'
import { runExample, scheduleExample, schedulePutExample } from '../openapi/examples.ts'
import type { RouteDependencies, Route, RouteResponse } from '../route.ts'
import { parseSchedule, putScheduleSchema } from '../validation.ts'
import { hidesSecrets } from '../permissions.ts'
import { runViewSchema } from '../views/run.ts'
import { scheduleListSchema, scheduleSchema, type ScheduleView, viewSchedule } from '../views/schedule.ts'

const oneSchedule = {
  json: { Schedule: scheduleSchema },
  example: scheduleExample,
  headers: ['Cache-Control'],
} as const
const whole = (description: string): RouteResponse => ({ status: 200, description, ...oneSchedule })

type Deps = Pick<RouteDependencies, 'registry' | 'responder' | 'prefix'>

function createView({ registry, prefix }: Omit<Deps, 'responder'>): (ctx: Context, schedule: Schedule) => ScheduleView {
  type Task = ScheduleView['request']['tasks'][number]

  /** The whole input of a task that is not known here is hidden: any member may be secret. */
  function withoutSecrets(task: Task): Task {
    const { input } = task
    if (input === undefined) return task
    const secret = registry.get(task.name)?.secret
    const shown = secret === undefined ? mask : new RawJson(maskText(textOfJson(input), secret, 'input'))
    return { ...task, input: shown }
  }

  return (ctx, schedule) =>
    viewSchedule(schedule, { prefix, showTask: hidesSecrets(ctx) ? withoutSecrets : (task) => task })
}

function createSend(deps: Deps): (ctx: Context, schedule: Schedule) => Promise<void> {
  const view = createView(deps)
  return async (ctx, schedule) => {
    ctx.set('Cache-Control', 'no-store')
    await deps.responder.send(ctx, view(ctx, schedule))
  }
}

export const listSchedules: Route = {
  method: 'GET',
  path: '/schedules',
  operationId: 'listSchedules',
  summary: 'lists the schedules',
  area: 'runs',
  responses: [
    {
      status: 200,
      description: 'Each schedule, by name.',
      json: { ScheduleList: scheduleListSchema },
      example: { schedules: [scheduleExample] },
      headers: ['Cache-Control'],
    },
  ],
  schemas: { Schedule: scheduleSchema },
  problems: ['overloaded', 'store-unavailable'],

  create({ schedules, responder, ...deps }) {
    const view = createView(deps)
    return async (ctx) => {
      const all = await schedules.list()
      ctx.set('Cache-Control', 'no-store')
      await responder.send(ctx, { schedules: all.map((schedule) => view(ctx, schedule)) })
    }
  },
}

export const getSchedule: Route = {
  method: 'GET',
  path: '/schedules/{name}',
  operationId: 'getSchedule',
  summary: 'shows one schedule',
  area: 'runs',
  responses: [whole('The schedule.')],
  problems: ['schedule-not-found', 'overloaded', 'store-unavailable'],

  create({ schedules, ...deps }) {
    const send = createSend(deps)
    return async (ctx, { name = '' }) => send(ctx, await schedules.get(name))
  },
}

export const putSchedule: Route = {
  method: 'PUT',
  path: '/schedules/{name}',
  operationId: 'putSchedule',
  summary: 'makes a schedule, or replaces it',
  description:
    'Each tick makes one run, tagged `schedule:{name}`, however many processes there are. A schedule whose `cron` and `timeZone` stay the same keeps a tick that is due.',
  area: 'runs',
  body: { json: { SchedulePut: putScheduleSchema }, example: schedulePutExample },
  responses: [
    { ...whole('It is made.'), status: 201, headers: ['Location', 'Cache-Control'] },
    whole('It has replaced the one of that name.'),
  ],
  problems: [
    'malformed-json',
    'schedule-declared',
    'content-too-large',
    'unsupported-media-type',
    'body-already-read',
    'validation-error',
    'unknown-task',
    'too-many-tasks',
    'overloaded',
    'shutting-down',
    'store-unavailable',
  ],

  create({ schedules, config, readBody, ...deps }) {
    const send = createSend(deps)
    return async (ctx, { name = '' }) => {
      const { value } = await readBody(ctx)
      const { schedule, isNew } = await schedules.put(name, parseSchedule(value, config.maxTasksPerRun))
      ctx.status = isNew ? 201 : 200
      if (isNew) ctx.set('Location', `${deps.prefix}/schedules/${name}`)
      await send(ctx, schedule)
    }
  },
}

export const removeSchedule: Route = {
  method: 'DELETE',
  path: '/schedules/{name}',
  operationId: 'removeSchedule',
  summary: 'removes a schedule; its runs stay',
  area: 'runs',
  responses: [{ status: 204, description: 'It is gone.' }],
  problems: ['schedule-not-found', 'schedule-declared', 'store-unavailable'],

  create({ schedules }) {
    return async (ctx, { name = '' }) => {
      await schedules.remove(name)
      ctx.status = 204
    }
  },
}

export const runSchedule: Route = {
  method: 'POST',
  path: '/schedules/{name}/run',
  operationId: 'runSchedule',
  summary: 'makes a run of a schedule now, also of a paused one',
  description: 'It is no tick: `nextAt`, `lastAt` and `lastRunId` stay what they are.',
  area: 'runs',
  responses: [
    {
      status: 202,
      description: 'The run is accepted.',
      json: { Run: runViewSchema },
      example: runExample,
      headers: ['Location', 'Cache-Control'],
    },
  ],
  problems: [
    'schedule-not-found',
    'validation-error',
    'unknown-task',
    'overloaded',
    'shutting-down',
    'store-unavailable',
  ],

  create({ schedules, responder, prefix }) {
    return async (ctx, { name = '' }) => {
      const run = await schedules.run(name)
      ctx.status = 202
      ctx.set({ Location: `${prefix}/runs/${run.id}`, 'Cache-Control': 'no-store' })
      await responder.sendRun(ctx, run)
    }
  },
}

function pausing(isPaused: boolean, route: Pick<Route, 'path' | 'operationId' | 'summary'>): Route {
  return {
    ...route,
    method: 'POST',
    area: 'runs',
    responses: [whole('The schedule as it is now.')],
    problems: ['schedule-not-found', 'store-unavailable'],

    create({ schedules, ...deps }) {
      const send = createSend(deps)
      return async (ctx, { name = '' }) => send(ctx, await schedules.setPaused(name, isPaused))
    },
  }
}

export const pauseSchedule = pausing(true, {
  path: '/schedules/{name}/pause',
  operationId: 'pauseSchedule',
  summary: 'pauses a schedule: until it is resumed, its ticks pass',
})

export const resumeSchedule = pausing(false, {
  path: '/schedules/{name}/resume',
  operationId: 'resumeSchedule',
  summary: 'resumes a paused schedule with its next tick',
})
