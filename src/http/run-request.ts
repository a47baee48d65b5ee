/** The form of a run's request, and of a schedule, which has one; and the issues of a body that has another. */
import { z } from 'zod'
import type { Config } from '../config.ts'
import { firstFailurePolicies, respondModes } from '../domain/run.ts'
import { AppError } from '../domain/errors.ts'
import type { RequestIssue } from '../domain/problems.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import { missedPolicies } from '../domain/schedule.ts'
import { policyBounds } from '../domain/task.ts'
import { isWebhookUrl } from '../domain/webhook.ts'
import type { RequestParts } from '../intake/inbox.ts'
import type { ScheduleInput } from '../schedules/definition.ts'
import { pointerOf } from '../tasks/input.ts'
import { valueOf } from './body/body-parser.ts'
import { parseBody } from './body/parse-body.ts'

const maxDelayMs = 31_536_000_000
const { timeoutMs, maxAttempts } = policyBounds

const taskSchema = z.strictObject({
  name: z.string().min(1).max(64),
  input: z.unknown().optional(),
  timeoutMs: z.int().min(timeoutMs.min).max(timeoutMs.max).optional(),
  maxAttempts: z.int().min(maxAttempts.min).max(maxAttempts.max).optional(),
  priority: z.int().min(0).max(9).optional(),
  delayMs: z.int().min(0).max(maxDelayMs).optional(),
  expiresMs: z
    .int()
    .min(1)
    .max(maxDelayMs)
    .optional()
    .describe('a job that has not started within that time of being due fails as `expired`'),
  after: z
    .array(z.int().min(0))
    .readonly()
    .optional()
    .describe('indexes of earlier tasks: it starts when they are completed, and gets their results'),
})

/** The database has it as UTF-8, which half of a surrogate pair does not have. */
const tagSchema = z
  .string()
  .min(1)
  .max(64)
  .refine((tag) => tag.isWellFormed(), 'must be well-formed Unicode')

/** Durations in milliseconds. Without tasks it is the run of the original recipe. */
export const runSchema = z.strictObject({
  tasks: z
    .array(taskSchema)
    .min(1)
    .default(() => ['first', 'second', 'third'].map((name) => ({ name }))),
  respond: z.enum(respondModes).default('first'),
  onFirstFailure: z.enum(firstFailurePolicies).default('continue'),
  tags: z.array(tagSchema).max(16).default([]),
  webhook: z
    .strictObject({
      url: z
        .string()
        .refine(isWebhookUrl, 'must be an address of at most 2048 characters that begins with http:// or https://'),
    })
    .optional()
    .describe('where the end of the run is reported, in place of WEBHOOK_URL'),
})

/** What a caller may write; everything can be left out. */
export type RunInput = z.input<typeof runSchema>

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

/** Wrong places that a problem names at most. */
const maxIssues = 100

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each wrong place */
export function parseRunRequest(body: unknown, maxTasksPerRun: number): RunRequest {
  // Before each of them is looked at.
  checkTaskCount(body, maxTasksPerRun, '/tasks')
  return parseForm(runSchema, body)
}

/** Of a request that did not come as a body: with the same checks as of a body's bytes. */
export function parseRunText(text: string, bounds: Pick<Config, 'maxBodyBytes' | 'maxTasksPerRun'>): RunRequest {
  const { maxBodyBytes, maxTasksPerRun } = bounds
  const parsed = parseBody({ bytes: Buffer.from(text), coding: null }, maxBodyBytes)
  return parseRunRequest(valueOf(parsed, maxBodyBytes), maxTasksPerRun)
}

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each wrong place */
export function parseSchedule(body: unknown, maxTasksPerRun: number): ScheduleInput {
  checkTaskCount(Reflect.get(Object(body), 'request'), maxTasksPerRun, '/request/tasks')
  return parseForm(putScheduleSchema, body)
}

function parseForm<Form>(schema: z.ZodType<Form>, body: unknown = {}): Form {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  throw invalidBody(parsed.error)
}

/** @throws AppError `too-many-tasks` */
function checkTaskCount(request: unknown, maxTasksPerRun: number, pointer: string): void {
  const tasks: unknown = Reflect.get(Object(request), 'tasks')
  if (Array.isArray(tasks) && tasks.length > maxTasksPerRun) {
    const detail = `${tasks.length} tasks are more than the ${maxTasksPerRun} of one run`
    throw new AppError('too-many-tasks', detail, { members: { errors: [{ pointer, detail }] } })
  }
}

/** With a pointer for each wrong place. */
function invalidBody(error: z.ZodError): AppError {
  const errors = error.issues.slice(0, maxIssues).flatMap(issuesOf).slice(0, maxIssues)
  const [first] = errors
  const where = first === undefined || first.pointer === '' ? 'the body' : first.pointer
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new AppError('validation-error', `${where}: ${first?.detail}${more}`, { members: { errors } })
}

/** What can be kept of a request that is not valid. @param text JSON */
export function partsOfRequest(text: string): RequestParts {
  const request: unknown = JSON.parse(text)
  const tasks: unknown = Reflect.get(Object(request), 'tasks')
  const first: unknown = Array.isArray(tasks) ? tasks[0] : undefined
  const task = taskSchema.shape.name.safeParse(Reflect.get(Object(first), 'name'))
  const tags = runSchema.shape.tags.safeParse(Reflect.get(Object(request), 'tags'))
  return { task: task.success ? task.data : null, tags: tags.success ? tags.data : [] }
}

function issuesOf(issue: z.core.$ZodIssue): RequestIssue[] {
  const pointer = pointerOf(issue.path)
  if (issue.code !== 'unrecognized_keys') return [{ pointer, detail: issue.message }]
  return issue.keys.map((key) => ({ pointer: `${pointer}${pointerOf([key])}`, detail: 'unknown member' }))
}
