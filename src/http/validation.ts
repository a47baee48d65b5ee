/** Validation of requests: the parameters of a path, those of a query, and JSON bodies. */
import { z } from 'zod'
import type { Config } from '../config.ts'
import { AppError } from '../domain/errors.ts'
import { isRunId } from '../domain/ids.ts'
import type { RequestIssue } from '../domain/problems.ts'
import { firstFailurePolicies, respondModes, type RunRecord, runStates } from '../domain/run.ts'
import type { RunRequest } from '../domain/run/new-run.ts'
import { missedPolicies, scheduleTag } from '../domain/schedule.ts'
import { policyBounds } from '../domain/task.ts'
import { isWebhookUrl } from '../domain/webhook.ts'
import type { RequestParts } from '../intake/inbox.ts'
import type { ScheduleInput } from '../schedules/definition.ts'
import { parseSearch } from '../store/search-text.ts'
import type { RunFilter, Store } from '../store/store.ts'
import { pointerOf } from '../domain/json.ts'
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

export type PathParameters = Readonly<Partial<Record<'id' | 'index' | 'deliveryId' | 'name' | 'slug', string>>>

/** @throws AppError `run-not-found` for what can be the id of no run */
export function runIdOf({ id = '' }: PathParameters): string {
  if (!isRunId(id)) throw noSuchRun(id)
  return id
}

/** Undefined for what can be the index of no job. */
export function jobIndexOf({ index = '' }: PathParameters): number | undefined {
  return /^(?:0|[1-9]\d{0,8})$/.test(index) ? Number(index) : undefined
}

/** @throws AppError `run-not-found` */
export async function findRun(store: Pick<Store, 'getRun'>, id: string): Promise<RunRecord> {
  const run = await store.getRun(id)
  if (run === null) throw noSuchRun(id)
  return run
}

export function noSuchRun(id: string): AppError {
  return new AppError('run-not-found', `there is no run ${id}`)
}

export function noSuchJob({ id, jobs }: RunRecord, { index }: PathParameters): AppError {
  const detail = `the run has ${jobs.length} jobs and no job ${index}`
  return new AppError('job-not-found', detail, { members: { runId: id } })
}

const maxTagLength = 64
/** A schedule adds one to its runs that is longer than those of requests. */
const longestTag = scheduleTag('x'.repeat(64))

/** A time, which a query has as text. */
export const instantText = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

/** A number from 1, which a query has as text. */
export const countText = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, 'must be a whole number from 1')
  .transform(Number)

export const runFilter = {
  state: z.enum(runStates).exactOptional(),
  task: z.string().min(1).max(64).exactOptional().describe('runs that have a job of this task'),
  tag: z
    .string()
    .min(1)
    .max(longestTag.length)
    .refine((tag) => tag.length <= maxTagLength || tag.startsWith(scheduleTag('')), 'must have at most 64 characters')
    .exactOptional(),
  createdAfter: instantText.exactOptional().describe('exclusive'),
  createdBefore: instantText.exactOptional().describe('exclusive'),
  q: z
    .string()
    .max(200)
    .refine((text) => parseSearch(text).length > 0, 'must have a word')
    .exactOptional()
    .describe(
      'runs whose inputs, results, errors, tags, tasks or id have all of these words; `*` behind at least three letters finds longer words',
    ),
}

/** @throws AppError `invalid-filter` that names each wrong parameter */
export function parseQuery<Query>(schema: z.ZodType<Query>, query: Readonly<Record<string, unknown>>): Query {
  const parsed = schema.safeParse(query)
  if (parsed.success) return parsed.data
  const wrong = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `unknown parameter ${issue.keys.join(', ')}`
      : `${issue.path.join('.')}: ${issue.message}`,
  )
  throw new AppError('invalid-filter', wrong.join('; '))
}

/** The filter as the store takes it. @throws AppError `invalid-filter` for a search where the store has no index */
export function runFilterOf<Query extends { readonly q?: string }>(
  { q, ...query }: Query,
  { canSearch }: Pick<Store, 'canSearch'>,
): Omit<Query, 'q'> & Pick<RunFilter, 'words'> {
  if (q === undefined) return query
  if (canSearch !== true) {
    throw new AppError('invalid-filter', 'q: this service has no search: it needs SEARCH_INDEX=true')
  }
  return { ...query, words: parseSearch(q) }
}
