/** What a query of the list, or of a change of many runs, asks of the store. */
import { AppError } from '../domain/errors.ts'
import { parseSearch } from '../domain/search.ts'
import type { RunFilter, Store } from '../store/store.ts'

/** @throws AppError `invalid-filter` for a search where the store has no index */
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
