/** Schedules: list, get, put, remove, run, pause and resume. */
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

function scheduleResponse(description: string): RouteResponse {
  return { status: 200, description, ...oneSchedule }
}

type ViewDependencies = Pick<RouteDependencies, 'registry' | 'prefix'>
type SendDependencies = Pick<RouteDependencies, 'registry' | 'prefix' | 'responder'>

function createView({ registry, prefix }: ViewDependencies): (ctx: Context, schedule: Schedule) => ScheduleView {
  type Task = ScheduleView['request']['tasks'][number]

  /** If this process does not know the task, any member of its input may be secret, so all of it is hidden. */
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

function createSend({
  responder,
  ...dependencies
}: SendDependencies): (ctx: Context, schedule: Schedule) => Promise<void> {
  const view = createView(dependencies)
  return async (ctx, schedule) => {
    ctx.set('Cache-Control', 'no-store')
    await responder.send(ctx, view(ctx, schedule))
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

  create({ schedules, responder, ...dependencies }) {
    const view = createView(dependencies)
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
  responses: [scheduleResponse('The schedule.')],
  problems: ['schedule-not-found', 'overloaded', 'store-unavailable'],

  create({ schedules, ...dependencies }) {
    const send = createSend(dependencies)
    return async (ctx, { name = '' }) => send(ctx, await schedules.get(name))
  },
}

export const putSchedule: Route = {
  method: 'PUT',
  path: '/schedules/{name}',
  operationId: 'putSchedule',
  summary: 'creates or replaces a schedule',
  description:
    'Each tick makes one run, tagged `schedule:{name}`, regardless of the number of processes. If `cron` and `timeZone` do not change, a tick that is due is kept.',
  area: 'runs',
  body: { json: { SchedulePut: putScheduleSchema }, example: schedulePutExample },
  responses: [
    { ...scheduleResponse('It is created.'), status: 201, headers: ['Location', 'Cache-Control'] },
    scheduleResponse('It has replaced the schedule with this name.'),
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

  create({ schedules, config, readBody, ...dependencies }) {
    const send = createSend(dependencies)
    return async (ctx, { name = '' }) => {
      const { value } = await readBody(ctx)
      const { schedule, isNew } = await schedules.put(name, parseSchedule(value, config.maxTasksPerRun))
      ctx.status = isNew ? 201 : 200
      if (isNew) ctx.set('Location', `${dependencies.prefix}/schedules/${name}`)
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
  summary: 'makes a run of a schedule now, even if it is paused',
  description: 'This is not a tick: `nextAt`, `lastAt` and `lastRunId` do not change.',
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

function pauseRoute(isPaused: boolean, route: Pick<Route, 'path' | 'operationId' | 'summary'>): Route {
  return {
    ...route,
    method: 'POST',
    area: 'runs',
    responses: [scheduleResponse('The schedule as it is now.')],
    problems: ['schedule-not-found', 'store-unavailable'],

    create({ schedules, ...dependencies }) {
      const send = createSend(dependencies)
      return async (ctx, { name = '' }) => send(ctx, await schedules.setPaused(name, isPaused))
    },
  }
}

export const pauseSchedule = pauseRoute(true, {
  path: '/schedules/{name}/pause',
  operationId: 'pauseSchedule',
  summary: 'pauses a schedule: its ticks make no runs until it is resumed',
})

export const resumeSchedule = pauseRoute(false, {
  path: '/schedules/{name}/resume',
  operationId: 'resumeSchedule',
  summary: 'resumes a paused schedule, from its next tick on',
})
