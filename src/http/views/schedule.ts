/** Schedules as JSON. */
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
      .describe('the request of each run; the tag `schedule:{name}` is added'),
    missed: z
      .enum(missedPolicies)
      .describe('runs for the ticks that passed while no process ran: one in all, none, or one for each tick'),
    paused: z.boolean(),
    declared: z.boolean().describe('declared in code: it can be paused, but not changed'),
    nextAt: instantSchema.nullable().describe('the next tick; null: the schedule is paused, or has no further tick'),
    lastAt: instantSchema.nullable().describe('the last tick that created a run; null: none'),
    lastRunId: runIdSchema.nullable().describe('the run of that tick, which may have been deleted since'),
    problem: z
      .object({ at: instantSchema.describe('the tick'), code: z.string(), detail: z.string() })
      .readonly()
      .nullable()
      .describe('why the last tick created no run; null if it created one'),
    links: z.object({
      self: z.string(),
      runs: z.string().describe('the runs of the schedule'),
      run: z.string(),
      pause: z.string(),
      resume: z.string(),
    }),
  })
  .readonly()
  .describe('A schedule, which creates a run at each of its ticks')

export const scheduleListSchema = z.object({ schedules: z.array(scheduleSchema).readonly() }).readonly()

export type ScheduleView = z.output<typeof scheduleSchema>
export type ScheduleListView = z.output<typeof scheduleListSchema>

type RequestView = ScheduleView['request']

export interface ScheduleViewOptions {
  /** Precedes each address. Default: empty. */
  readonly prefix?: string
  /** Hides what the caller may not see of a task of the request. */
  readonly showTask: (task: RequestView['tasks'][number]) => RequestView['tasks'][number]
}

export function viewSchedule(schedule: Schedule, { prefix = '', showTask }: ScheduleViewOptions): ScheduleView {
  const { name, cron, timeZone, missed, isPaused, isDeclared, nextAt, lastAt, lastRunId, problem } = schedule
  // The form of the request was checked when the schedule was stored.
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
      ...(request.webhook && { webhook: { url: shownUrl(request.webhook.url) } }),
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
