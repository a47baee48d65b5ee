/** A page of the runs that have all words of a search, newest first. */
import type { DatabaseSync, SQLInputValue } from 'node:sqlite'
import { lowestRunId } from '../../../domain/ids.ts'
import type { SearchWord } from '../../search-words.ts'
import { stateNumber } from '../../record.ts'
import type { RunFilter } from '../../store.ts'
import { bytesOfId, idOfBytes } from '../connection/rows.ts'
import { hasTag, hasTask, type Condition } from '../statements/lists.ts'
import type { Search } from './search.ts'

/**
 * Candidates per page that are checked against the rest of the filter, because all other operations wait meanwhile. The
 * page ends there even if it is not full.
 */
const maxLookedAt = 2_000

export interface FoundRuns {
  readonly keys: readonly number[]
  readonly hasMore: boolean
  /** Id of the last candidate; null if there was none. */
  readonly lastId: string | null
}

export function createSearchRuns(database: DatabaseSync, search: Search) {
  const selectFrom = database.prepare('SELECT key FROM record WHERE id >= ? ORDER BY id LIMIT 1')
  const selectId = database.prepare('SELECT id FROM record WHERE key = ?')
  const selectEnd = database.prepare('SELECT coalesce(max(key), 0) + 1 AS key FROM record')

  /** Keys grow as ids do: runs are accepted in the order in which they get theirs. */
  function keyFrom(id: string): number {
    return Number((selectFrom.get(bytesOfId(id)) ?? selectEnd.get())?.['key'])
  }

  function idOf(key: number | undefined): string | null {
    const id = key === undefined ? undefined : selectId.get(key)?.['id']
    return id instanceof Uint8Array ? idOfBytes(id) : null
  }

  return (filter: RunFilter, words: readonly SearchWord[], taskId: number | null): FoundRuns => {
    const { beforeId, createdAfter, createdBefore, pageSize } = filter
    const from = createdAfter === undefined ? 0 : keyFrom(lowestRunId(createdAfter + 1))
    const below = Math.min(
      beforeId === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(beforeId),
      createdBefore === undefined ? Number.MAX_SAFE_INTEGER : keyFrom(lowestRunId(createdBefore)),
    )
    const candidates = search.find(words, from, below, maxLookedAt)
    const { where, values } = conditionsOf(filter, taskId)
    const matches = database.prepare(`SELECT 1 FROM record WHERE key = ?${where}`)
    const keys: number[] = []
    let looked = 0
    for (const key of candidates) {
      if (keys.length === pageSize) break
      looked += 1
      if (matches.get(key, ...values) !== undefined) keys.push(key)
    }
    const hasMore = looked < candidates.length || candidates.length === maxLookedAt
    return { keys, hasMore, lastId: idOf(candidates[looked - 1]) }
  }
}

function conditionsOf({ state, tag, task }: RunFilter, taskId: number | null) {
  const conditions: Condition[] = [
    ['record.state = ?', state && stateNumber(state)],
    hasTag(tag),
    hasTask(task === undefined ? undefined : (taskId ?? 0)),
  ]
  const used = conditions.filter((entry): entry is [string, SQLInputValue] => entry[1] !== undefined)
  return { where: used.map(([sql]) => ` AND ${sql}`).join(''), values: used.map(([, value]) => value) }
}
