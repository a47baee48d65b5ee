/** The form of a schedule as its caller puts it. */
import { z } from 'zod'
import { missedPolicies } from '../domain/schedule.ts'
import type { ScheduleInput } from '../schedules/check.ts'
import { checkTaskCount, invalidBody, runSchema } from './run-request.ts'

export const putScheduleSchema = z.strictObject({
  cron: z.string().min(1).max(256).describe('five fields, or six with seconds'),
  timeZone: z.string().min(1).max(64).default('UTC').describe('a name of the IANA database'),
  request: runSchema
    .extend({ respond: z.literal('none').default('none') })
    .describe('as for POST /run-tasks; nobody waits for an answer'),
  missed: z
    .enum(missedPolicies)
    .default('one')
    .describe('of ticks that passed while nothing ran: one run for the last, none, or one each for the last 100'),
  paused: z.boolean().default(false),
})

/** What a caller may write; only `cron` and `request` are needed. */
export type SchedulePut = z.input<typeof putScheduleSchema>

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each wrong place */
export function parseSchedule(body: unknown, maxTasksPerRun: number): ScheduleInput {
  checkTaskCount(Reflect.get(Object(body), 'request'), maxTasksPerRun, '/request/tasks')
  const parsed = putScheduleSchema.safeParse(body === undefined ? {} : body)
  if (parsed.success) return parsed.data
  throw invalidBody(parsed.error)
}
