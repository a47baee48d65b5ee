/**
 * What may be missing in the index for search because a process has ended: each has a row that says since when runs that
 * it has written may not be in it. The row of a process that is gone is worked off by another one, which compares the runs
 * that were created or have ended since then with the index. Runs from before there was an index are worked off so, too.
 */
import type { Query, Row } from '../connection/connection.ts'
import { highestUuid, lowestUuid, lowestUuidAt } from '../statements/lists.ts'

export interface Arrears {
  readonly process: number
  /** By the clock of that process. */
  readonly since: number
  /** Of the runs that were created since, those from here on are done. Null: all of them, and then come those that have ended. */
  readonly below: string | null
  readonly ended: Ended
}

interface Ended {
  readonly at: number
  readonly id: string
}

/** Clocks of a process step, and a run is committed some time after its id was made. */
const marginMs = 60_000
const maxLooked = 256
const isAlive = "process.heartbeat_at > clock_timestamp() - interval '30 s'"

// Of processes of an older version, and of those that were given up for a while: the row of such a process is a new one.
const register = {
  name: 'register-others-for-search',
  text: `
    WITH own AS (UPDATE process SET has_search = true WHERE id = $2 AND NOT has_search)
    INSERT INTO search_progress (process, since) SELECT id, $1 FROM process WHERE ${isAlive}
    ON CONFLICT (process) DO NOTHING`,
}
// One process works them off.
const select = {
  name: 'select-search-arrears',
  text: `
    SELECT process, since, below FROM search_progress
    WHERE process <> $1 AND NOT EXISTS (SELECT FROM process WHERE id = search_progress.process AND ${isAlive})
      AND $1 = (SELECT min(id) FROM process WHERE has_search AND ${isAlive})
    ORDER BY since DESC LIMIT 1`,
}
const setSince = { name: 'set-search-since', text: 'UPDATE search_progress SET since = $2 WHERE process = $1' }
const setBelow = { name: 'set-search-below', text: 'UPDATE search_progress SET below = $2 WHERE process = $1' }
const remove = { name: 'remove-search-progress', text: 'DELETE FROM search_progress WHERE process = $1' }

const compared = (looked: string, order: string): string => `
  SELECT looked.id, looked.finished_at, search.revision IS DISTINCT FROM looked.revision AS is_missing
  FROM (SELECT id, revision, finished_at FROM record WHERE ${looked} ORDER BY ${order} LIMIT ${maxLooked}) AS looked
  LEFT JOIN search ON search.run = looked.id`
const selectCreated = { name: 'compare-created', text: compared('id >= $1 AND id < $2', 'id DESC') }
const selectEnded = {
  name: 'compare-ended',
  text: compared('finished_at >= $1 AND (finished_at > $1 OR id > $2)', 'finished_at, id'),
}

/** Makes sure that each process has a row: a new one makes its own. @throws DatabaseFailure */
export async function registerOthers(query: Query, process: number, at: number): Promise<void> {
  await query(register, [at, process])
}

/** Everything that the process has written before the instant is in the index. */
export async function noteIndexed(query: Query, process: number, since: number): Promise<void> {
  await query(setSince, [process, since])
}

export async function forgetProgress(query: Query, process: number): Promise<void> {
  await query(remove, [process])
}

export async function findArrears(query: Query, process: number): Promise<Arrears | null> {
  const [row] = await query(select, [process])
  if (row === undefined) return null
  const { below } = row
  return arrearsOf(Number(row['process']), Number(row['since']), typeof below === 'string' ? below : highestUuid)
}

/** Of a process that could not keep all in mind that it has written. */
export function arrearsOf(process: number, since: number, below = highestUuid): Arrears {
  return { process, since, below, ended: { at: since - marginMs, id: lowestUuid } }
}

/** Notes what is left of it. @throws DatabaseFailure */
export async function noteLeft(query: Query, { process }: Arrears, left: Arrears | null): Promise<void> {
  await (left === null ? query(remove, [process]) : query(setBelow, [process, left.below]))
}

export interface Compared {
  /** Runs that are not in the index as they are. */
  readonly ids: readonly string[]
  /** null: nothing. */
  readonly left: Arrears | null
}

/** Compares a part of the runs. @param limit of those that are not in the index. @throws DatabaseFailure */
export async function compare(query: Query, arrears: Arrears, limit: number): Promise<Compared> {
  const { since, below, ended } = arrears
  const from = since - marginMs
  if (below !== null) {
    const created = take(await query(selectCreated, [lowestUuidAt(from), below]), limit)
    const { ids, last } = created
    if (last !== null) return { ids, left: { ...arrears, below: String(last['id']) } }
    // From the beginning on: all runs were created since.
    return { ids, left: from < 0 ? null : { ...arrears, below: null } }
  }
  const { ids, last } = take(await query(selectEnded, [ended.at, ended.id]), limit)
  const place = last && { at: Number(last['finished_at']), id: String(last['id']) }
  return { ids, left: place && { ...arrears, ended: place } }
}

/** @returns with the row after which the next part begins; null: there is none */
function take(rows: readonly Row[], limit: number): { readonly ids: readonly string[]; readonly last: Row | null } {
  const missing = rows.filter((row) => row['is_missing'] === true).slice(0, limit)
  const ids = missing.map(({ id }) => String(id))
  if (ids.length === limit) return { ids, last: missing.at(-1) ?? null }
  return { ids, last: rows.length < maxLooked ? null : (rows.at(-1) ?? null) }
}
