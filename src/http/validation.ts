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
import { parseJsonText } from './body/read-body.ts'

export type PathParameters = Readonly<Partial<Record<'id' | 'index' | 'deliveryId' | 'name' | 'slug', string>>>

/** @throws AppError `run-not-found` if no run can have this id */
export function runIdOf({ id = '' }: PathParameters): string {
  if (!isRunId(id)) throw noSuchRun(id)
  return id
}

/** @returns undefined if no job can have this index */
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

const maxNameLength = 64
const maxTagLength = 64
/** A schedule adds a tag to its runs that is longer than the tags of requests may be. */
const longestTag = scheduleTag('x'.repeat(maxNameLength))

// Parameters of a query arrive as text.
export const instantParameter = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))
export const countParameter = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, 'must be a whole number from 1')
  .transform(Number)

/** The parameters that select runs. */
export const runFilterParameters = {
  state: z.enum(runStates).exactOptional(),
  task: z.string().min(1).max(maxNameLength).exactOptional().describe('runs that have a job of this task'),
  tag: z
    .string()
    .min(1)
    .max(longestTag.length)
    .refine((tag) => tag.length <= maxTagLength || tag.startsWith(scheduleTag('')), 'must have at most 64 characters')
    .exactOptional(),
  createdAfter: instantParameter.exactOptional().describe('exclusive'),
  createdBefore: instantParameter.exactOptional().describe('exclusive'),
  q: z
    .string()
    .max(200)
    .refine((text) => parseSearch(text).length > 0, 'must have a word')
    .exactOptional()
    .describe(
      'runs whose inputs, results, errors, tags, tasks or id contain all of these words; `*` after at least three letters also finds longer words',
    ),
}

/** @throws AppError `invalid-filter`, which names each invalid parameter */
export function parseQuery<Query>(schema: z.ZodType<Query>, query: Readonly<Record<string, unknown>>): Query {
  const parsed = schema.safeParse(query)
  if (parsed.success) return parsed.data
  const details = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `unknown parameter ${issue.keys.join(', ')}`
      : `${issue.path.join('.')}: ${issue.message}`,
  )
  throw new AppError('invalid-filter', details.join('; '))
}

/** The filter as the store takes it. @throws AppError `invalid-filter` if it has a search and the store has no index */
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

const yearMs = 31_536_000_000
const { timeoutMs, maxAttempts } = policyBounds

const taskSchema = z.strictObject({
  name: z.string().min(1).max(maxNameLength),
  input: z.unknown().optional(),
  timeoutMs: z.int().min(timeoutMs.min).max(timeoutMs.max).optional(),
  maxAttempts: z.int().min(maxAttempts.min).max(maxAttempts.max).optional(),
  priority: z.int().min(0).max(9).optional(),
  delayMs: z.int().min(0).max(yearMs).optional(),
  expiresMs: z
    .int()
    .min(1)
    .max(yearMs)
    .optional()
    .describe('a job that has not started within that time of being due fails as `expired`'),
  after: z
    .array(z.int().min(0))
    .readonly()
    .optional()
    .describe('indexes of earlier tasks: the job starts when they are completed, and gets their results'),
})

const tagSchema = z
  .string()
  .min(1)
  .max(maxTagLength)
  // The database stores UTF-8, which has no form for half of a surrogate pair.
  .refine((tag) => tag.isWellFormed(), 'must be well-formed Unicode')

/** Durations are in milliseconds. */
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

/** The body of a request; every member is optional. */
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
    .describe(
      'for ticks that passed while no process ran: one run for the last, none, or one for each of the last 100',
    ),
  paused: z.boolean().default(false),
})

/** The body of a request; only `cron` and `request` are required. */
export type SchedulePut = z.input<typeof putScheduleSchema>

/** Issues in one problem. */
const maxIssues = 100

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each invalid place */
export function parseRunRequest(body: unknown, maxTasksPerRun: number): RunRequest {
  checkTaskCount(body, maxTasksPerRun, '/tasks')
  return validate(runSchema, body)
}

/** A run's request that did not come over HTTP, validated like a body. */
export function parseRunText(text: string, bounds: Pick<Config, 'maxBodyBytes' | 'maxTasksPerRun'>): RunRequest {
  return parseRunRequest(parseJsonText(text, bounds.maxBodyBytes), bounds.maxTasksPerRun)
}

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each invalid place */
export function parseSchedule(body: unknown, maxTasksPerRun: number): ScheduleInput {
  checkTaskCount(Reflect.get(Object(body), 'request'), maxTasksPerRun, '/request/tasks')
  return validate(putScheduleSchema, body)
}

/** The parts of an invalid request that are still worth keeping. @param text JSON */
export function partsOfRequest(text: string): RequestParts {
  const request: unknown = JSON.parse(text)
  const tasks: unknown = Reflect.get(Object(request), 'tasks')
  const first: unknown = Array.isArray(tasks) ? tasks[0] : undefined
  const task = taskSchema.shape.name.safeParse(Reflect.get(Object(first), 'name'))
  const tags = runSchema.shape.tags.safeParse(Reflect.get(Object(request), 'tags'))
  return { task: task.success ? task.data : null, tags: tags.success ? tags.data : [] }
}

/** Cheap, and so done before each task is validated. @throws AppError `too-many-tasks` */
function checkTaskCount(request: unknown, maxTasksPerRun: number, pointer: string): void {
  const tasks: unknown = Reflect.get(Object(request), 'tasks')
  if (!Array.isArray(tasks) || tasks.length <= maxTasksPerRun) return
  const detail = `${tasks.length} tasks are more than the ${maxTasksPerRun} of one run`
  throw new AppError('too-many-tasks', detail, { members: { errors: [{ pointer, detail }] } })
}

/** @param body undefined: the request has none, which is the same as an empty object */
function validate<Value>(schema: z.ZodType<Value>, body: unknown = {}): Value {
  const parsed = schema.safeParse(body)
  if (parsed.success) return parsed.data
  // Cut twice: one issue has all unknown members of an object, and becomes an error for each.
  const errors = parsed.error.issues.slice(0, maxIssues).flatMap(issuesOf).slice(0, maxIssues)
  const [first] = errors
  const place = first === undefined || first.pointer === '' ? 'the body' : first.pointer
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  throw new AppError('validation-error', `${place}: ${first?.detail}${more}`, { members: { errors } })
}

function issuesOf(issue: z.core.$ZodIssue): RequestIssue[] {
  const pointer = pointerOf(issue.path)
  if (issue.code !== 'unrecognized_keys') return [{ pointer, detail: issue.message }]
  return issue.keys.map((key) => ({ pointer: `${pointer}${pointerOf([key])}`, detail: 'unknown member' }))
}
