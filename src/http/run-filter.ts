/** Filters of runs in a query: of the list, and of changes of many runs. */
import { z } from 'zod'
import { AppError } from '../domain/errors.ts'
import { runStates } from '../domain/run.ts'
import { parseSearch } from '../domain/search.ts'
import type { RunFilter, Store } from '../store/store.ts'

const instant = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

/** Everything in a query arrives as text. */
export const runFilter = {
  state: z.enum(runStates).exactOptional(),
  task: z.string().min(1).max(64).exactOptional().describe('runs that have a job of this task'),
  tag: z.string().min(1).max(64).exactOptional(),
  createdAfter: instant.exactOptional().describe('exclusive'),
  createdBefore: instant.exactOptional().describe('exclusive'),
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
    throw new AppError('invalid-filter', 'q: this service has no search: it needs SQLite, with SEARCH_INDEX=true')
  }
  return { ...query, words: parseSearch(q) }
}
