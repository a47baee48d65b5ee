/** Parameters of a path, and the run or the job that they name; parameters of a query, and the runs that they match. */
import { z } from 'zod'
import { AppError } from '../domain/errors.ts'
import { isRunId } from '../domain/ids.ts'
import { type RunRecord, runStates } from '../domain/run.ts'
import { scheduleTag } from '../domain/schedule.ts'
import { parseSearch } from '../store/search-text.ts'
import type { RunFilter, Store } from '../store/store.ts'

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
