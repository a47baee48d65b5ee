/** The JSON form of a schedule. */
import { z } from 'zod'
import { parseKeeping } from '../../domain/json.ts'
import { firstFailurePolicies } from '../../domain/run.ts'
import { missedPolicies, type Schedule, scheduleTag } from '../../domain/schedule.ts'
import { shownUrl } from '../../domain/webhook.ts'
import { instant, instantSchema, nullableInstant } from './job.ts'
import { runIdSchema } from './run.ts'

export const scheduleSchema = z
  .object({
    name: z.string(),
    cron: z.string(),
    timeZone: z.string(),
    request: z
      .looseObject({
        tasks: z.array(z.looseObject({ name: z.string() }).readonly()).readonly(),
        respond: z.literal('none'),
        onFirstFailure: z.enum(firstFailurePolicies),
        tags: z.array(z.string()).readonly(),
        webhook: z.object({ url: z.string() }).exactOptional().describe('without user and password'),
      })
      .readonly()
      .describe('what each run is made of; the tag `schedule:{name}` is added to its tags'),
    missed: z.enum(missedPolicies).describe('of ticks that passed while nothing ran: one run, none, or one each'),
    paused: z.boolean(),
    declared: z.boolean().describe('in code: it can be paused, and not be changed'),
    nextAt: instantSchema.nullable().describe('the next tick, or one that is due; null: paused, or no date follows'),
    lastAt: instantSchema.nullable().describe('the last tick that made a run'),
    lastRunId: runIdSchema.nullable().describe('of the run that it made, which may be forgotten by now'),
    problem: z
      .object({ at: instantSchema.describe('the tick'), code: z.string(), detail: z.string() })
      .readonly()
      .nullable()
      .describe('why the last tick made no run; null where it made one'),
    links: z.object({
      self: z.string(),
      runs: z.string().describe('its runs'),
      run: z.string(),
      pause: z.string(),
      resume: z.string(),
    }),
  })
  .readonly()
  .describe('A schedule, which makes a run at each of its ticks')

export const scheduleListSchema = z.object({ schedules: z.array(scheduleSchema).readonly() }).readonly()

export type ScheduleView = z.output<typeof scheduleSchema>
export type ScheduleListView = z.output<typeof scheduleListSchema>

type RequestView = ScheduleView['request']

export interface ScheduleViewOptions {
  readonly prefix?: string
  /** The task of a request as it may be shown. */
  readonly showTask: (task: RequestView['tasks'][number]) => RequestView['tasks'][number]
}

export function viewSchedule(schedule: Schedule, { prefix = '', showTask }: ScheduleViewOptions): ScheduleView {
  const { name, cron, timeZone, missed, isPaused, isDeclared, nextAt, lastAt, lastRunId, problem } = schedule
  // Its form was checked when it was put.
  const { tasks, ...request } = parseKeeping(schedule.request, [['tasks', 'input']]) as RequestView
  const self = `${prefix}/schedules/${name}`
  const runs = `${prefix}/runs?tag=${encodeURIComponent(scheduleTag(name))}`
  return {
    name,
    cron,
    timeZone,
    request: {
      tasks: tasks.map(showTask),
      ...request,
      ...(request.webhook && { webhook: shownWebhook(request.webhook) }),
    },
    missed,
    paused: isPaused,
    declared: isDeclared,
    nextAt: nullableInstant(nextAt),
    lastAt: nullableInstant(lastAt),
    lastRunId,
    problem: problem && { ...problem, at: instant(problem.at) },
    links: { self, runs, run: `${self}/run`, pause: `${self}/pause`, resume: `${self}/resume` },
  }
}

function shownWebhook({ url }: { readonly url: string }): { url: string } {
  return { url: shownUrl(url) }
}
