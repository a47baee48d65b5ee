/** Schedules: list, get, put, remove, run, pause and resume. */
import type { Context } from 'koa'
import { RawJson, textOfJson } from '../../domain/json.ts'
import type { Schedule } from '../../domain/schedule.ts'
import { mask, maskText } from '../../runtime/secret.ts'
import { runExample, scheduleExample, schedulePutExample } from '../openapi/examples.ts'
import { jsonResponse, type Route, type RouteDependencies, type RouteResponse } from '../route.ts'
import { parseSchedule, putScheduleSchema } from '../validation.ts'
import { hidesSecrets } from '../permissions.ts'
import { runViewSchema } from '../views/run.ts'
import { scheduleListSchema, scheduleSchema, type ScheduleView, viewSchedule } from '../views/schedule.ts'

const scheduleResponse = (description: string): RouteResponse =>
  jsonResponse(description, { Schedule: scheduleSchema }, scheduleExample)

/** Hides values that the caller may not see. If this process does not know a task, any value in its input may be secret. */
function viewFor(ctx: Context, schedule: Schedule, { registry, prefix }: RouteDependencies): ScheduleView {
  type Task = ScheduleView['request']['tasks'][number]
  function withMaskedInput(task: Task): Task {
    const { input } = task
    if (input === undefined) return task
    const secret = registry.get(task.name)?.secret
    const masked = secret === undefined ? mask : new RawJson(maskText(textOfJson(input), secret, 'input'))
    return { ...task, input: masked }
  }
  return viewSchedule(schedule, { prefix, showTask: hidesSecrets(ctx) ? withMaskedInput : (task) => task })
}

async function send(ctx: Context, schedule: Schedule, dependencies: RouteDependencies): Promise<void> {
  ctx.set('Cache-Control', 'no-store')
  await dependencies.responder.send(ctx, viewFor(ctx, schedule, dependencies))
}

export const listSchedules: Route = {
  method: 'GET',
  path: '/schedules',
  operationId: 'listSchedules',
  summary: 'lists the schedules',
  area: 'runs',
  responses: [
    jsonResponse('Each schedule, by name.', { ScheduleList: scheduleListSchema }, { schedules: [scheduleExample] }),
  ],
  schemas: { Schedule: scheduleSchema },
  problems: ['overloaded', 'store-unavailable'],

  create(dependencies) {
    return async (ctx) => {
      const schedules = await dependencies.schedules.list()
      ctx.set('Cache-Control', 'no-store')
      const views = schedules.map((schedule) => viewFor(ctx, schedule, dependencies))
      await dependencies.responder.send(ctx, { schedules: views })
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

  create(dependencies) {
    return async (ctx, { name = '' }) => send(ctx, await dependencies.schedules.get(name), dependencies)
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
  problems: ['schedule-declared', 'unknown-task', 'too-many-tasks', 'overloaded', 'shutting-down', 'store-unavailable'],

  create(dependencies) {
    const { schedules, config, readBody, prefix } = dependencies
    return async (ctx, { name = '' }) => {
      const { value } = await readBody(ctx)
      const { schedule, isNew } = await schedules.put(name, parseSchedule(value, config.maxTasksPerRun))
      ctx.status = isNew ? 201 : 200
      if (isNew) ctx.set('Location', `${prefix}/schedules/${name}`)
      await send(ctx, schedule, dependencies)
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

function schedulePauseRoute(isPaused: boolean, route: Pick<Route, 'path' | 'operationId' | 'summary'>): Route {
  return {
    ...route,
    method: 'POST',
    area: 'runs',
    responses: [scheduleResponse('The schedule as it is now.')],
    problems: ['schedule-not-found', 'store-unavailable'],

    create(dependencies) {
      return async (ctx, { name = '' }) => {
        await send(ctx, await dependencies.schedules.setPaused(name, isPaused), dependencies)
      }
    },
  }
}

export const pauseSchedule = schedulePauseRoute(true, {
  path: '/schedules/{name}/pause',
  operationId: 'pauseSchedule',
  summary: 'pauses a schedule: its ticks make no runs until it is resumed',
})

export const resumeSchedule = schedulePauseRoute(false, {
  path: '/schedules/{name}/resume',
  operationId: 'resumeSchedule',
  summary: 'resumes a paused schedule, from its next tick on',
})
