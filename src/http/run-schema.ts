/** The form of what callers send, and the issues of what has not got it. */
import { z } from 'zod'
import { respondModes } from '../domain/answer.ts'
import { AppError, type RequestIssue } from '../domain/errors.ts'
import type { RunRequest } from '../domain/run-request.ts'
import { firstFailurePolicies, runStates } from '../domain/run.ts'
import { parseSearch } from '../domain/search.ts'
import { policyBounds } from '../domain/task.ts'
import { pointerOf } from '../tasks/input.ts'

const maxDelayMs = 31_536_000_000
const { timeoutMs, maxAttempts } = policyBounds

const taskSchema = z.strictObject({
  name: z.string().min(1).max(64),
  input: z.unknown().optional(),
  timeoutMs: z.int().min(timeoutMs.min).max(timeoutMs.max).optional(),
  maxAttempts: z.int().min(maxAttempts.min).max(maxAttempts.max).optional(),
  priority: z.int().min(0).max(9).optional(),
  delayMs: z.int().min(0).max(maxDelayMs).optional(),
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
})

/** What a caller may write; everything can be left out. */
export type RunInput = z.input<typeof runSchema>

/** Wrong places that are named, of however many. */
const maxIssues = 100

/** @throws AppError `too-many-tasks`, or `validation-error` with a pointer for each wrong place */
export function parseRunRequest(body: unknown, maxTasksPerRun: number): RunRequest {
  // Before each of them is looked at.
  const tasks: unknown = Reflect.get(Object(body), 'tasks')
  if (Array.isArray(tasks) && tasks.length > maxTasksPerRun) {
    const detail = `${tasks.length} tasks are more than the ${maxTasksPerRun} of one run`
    throw new AppError('too-many-tasks', detail, { members: { errors: [{ pointer: '/tasks', detail }] } })
  }
  const parsed = runSchema.safeParse(body === undefined ? {} : body)
  if (parsed.success) return parsed.data
  const errors = parsed.error.issues.slice(0, maxIssues).flatMap(issuesOf).slice(0, maxIssues)
  const [first] = errors
  const where = first === undefined || first.pointer === '' ? 'the body' : first.pointer
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  throw new AppError('validation-error', `${where}: ${first?.detail}${more}`, { members: { errors } })
}

function issuesOf(issue: z.core.$ZodIssue): RequestIssue[] {
  const pointer = pointerOf(issue.path)
  if (issue.code !== 'unrecognized_keys') return [{ pointer, detail: issue.message }]
  return issue.keys.map((key) => ({ pointer: `${pointer}${pointerOf([key])}`, detail: 'unknown member' }))
}

/** A job's index as a path has it; undefined for what can be none. */
export function parseJobIndex(text: string): number | undefined {
  return /^(?:0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined
}

/** Runs in one page. */
export const maxPageSize = 500
const instant = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

/** Words that a run has, as its caller wrote them. */
const searchText = z
  .string()
  .max(200)
  .refine((text) => parseSearch(text).length > 0, 'must have a word')

const runFilter = {
  state: z.enum(runStates).exactOptional(),
  task: z.string().min(1).max(64).exactOptional(),
  tag: z.string().min(1).max(64).exactOptional(),
  createdAfter: instant.exactOptional(),
  createdBefore: instant.exactOptional(),
  q: searchText.exactOptional(),
}

/** Of the query of GET /runs; everything in it arrives as text. */
export const filterSchema = z.strictObject({
  ...runFilter,
  pageSize: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'must be a whole number from 1')
    .transform((text) => Math.min(Number(text), maxPageSize))
    .default(50),
  pageToken: z.string().exactOptional(),
})

export type ListQuery = z.output<typeof filterSchema>

/** Of the query of POST /runs/cancel and /runs/retry. */
export const bulkFilterSchema = z.strictObject({
  ...runFilter,
  dryRun: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .default(false),
})

export type BulkQuery = z.output<typeof bulkFilterSchema>

/** @throws AppError `invalid-filter` that names each wrong parameter */
export function parseListQuery(query: Readonly<Record<string, unknown>>): ListQuery {
  return parseQuery(filterSchema, query)
}

/** @throws AppError `invalid-filter` that names each wrong parameter, or asks for one: without a filter it is all runs */
export function parseBulkQuery(query: Readonly<Record<string, unknown>>): BulkQuery {
  const parsed = parseQuery(bulkFilterSchema, query)
  if (Object.keys(runFilter).some((name) => Object.hasOwn(query, name))) return parsed
  throw new AppError('invalid-filter', `at least one of ${Object.keys(runFilter).join(', ')} is needed`)
}

function parseQuery<Query>(schema: z.ZodType<Query>, query: Readonly<Record<string, unknown>>): Query {
  const parsed = schema.safeParse(query)
  if (parsed.success) return parsed.data
  const wrong = parsed.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `unknown parameter ${issue.keys.join(', ')}`
      : `${issue.path.join('.')}: ${issue.message}`,
  )
  throw new AppError('invalid-filter', wrong.join('; '))
}
