/**
 * The table `search`: brings words of runs into it, and finds runs that are missing there. Each run is one row, with the
 * revision that its words are of.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Log } from '../../../log.ts'
import { maxSearchText, searchText, wordsOf } from '../../search-text.ts'
import type { Query, Row } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { highestUuid, lowestUuid, lowestUuidAt } from '../statements/lists.ts'
import type { RecordDecoder } from '../statements/records.ts'
import type { Stored } from '../writing/unit-of-work.ts'

const selectStale = {
  name: 'select-stale-records',
  text: `
    SELECT record.id, record.version, record.revision, record.record
    FROM record LEFT JOIN search ON search.run = record.id
    WHERE record.id = ANY ($1::uuid[]) AND search.revision IS DISTINCT FROM record.revision`,
}
const selectTexts = {
  name: 'select-search-texts',
  text: `
    SELECT asked.name, CASE WHEN asked.is_whole THEN payload.value ELSE left(payload.value, ${maxSearchText}) END AS value
    FROM unnest($2::integer[], $3::integer[], $4::boolean[], $5::text[]) AS asked (job, part, is_whole, name)
    JOIN payload ON payload.run = $1 AND payload.job = asked.job AND payload.part = asked.part`,
}
// A run that is removed meanwhile leaves no words: its record is locked, against its removal and nothing else. Where another
// transaction has locked it, the run is left out, so that nobody waits here.
const putWords = {
  name: 'put-search-words',
  text: `
    WITH present AS MATERIALIZED (
      SELECT id FROM record WHERE id = ANY ($1::uuid[]) ORDER BY id FOR KEY SHARE SKIP LOCKED),
    put AS (
      INSERT INTO search (run, revision, words)
      SELECT new.run, new.revision, new.words::tsvector
      FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS new (run, revision, words) JOIN present ON present.id = new.run
      ON CONFLICT (run) DO UPDATE SET revision = excluded.revision, words = excluded.words
      WHERE search.revision < excluded.revision)
    SELECT id FROM present`,
}

/** Of the main thread, before it turns to what waits. */
const sliceMs = 2

/**
 * @returns those that another transaction has locked, or removed
 * @throws DatabaseFailure
 */
export async function indexRuns(
  query: Query,
  decoder: RecordDecoder,
  ids: readonly string[],
  log: Pick<Log, 'warn'>,
): Promise<string[]> {
  const stale = decoder.decode(await query(selectStale, [ids]))
  const runs: string[] = []
  const revisions: number[] = []
  const vectors: string[] = []
  let until = performance.now() + sliceMs
  for (const stored of stale) {
    const text = await textOf(query, stored).catch((error: unknown) => {
      if (isFailure(error)) throw error
      // A damaged text: the run is left out, and does not keep out the others.
      log.warn({ runId: stored.run.id, err: error }, 'the words of a run cannot be read')
      return null
    })
    if (text === null) continue
    runs.push(stored.run.id)
    revisions.push(stored.revision)
    vectors.push(vectorOf(wordsOf(text)))
    if (performance.now() < until) continue
    await nextTurn()
    until = performance.now() + sliceMs
  }
  if (runs.length === 0) return []
  const present = new Set((await query(putWords, [runs, revisions, vectors])).map(({ id }) => String(id)))
  return runs.filter((id) => !present.has(id))
}

/** With the texts that are kept apart, as far as they are needed. Which ones follows from what the others say. */
async function textOf(query: Query, { run }: Stored): Promise<string> {
  const known = new Map<string, string>()
  for (;;) {
    const missing = new Map<string, readonly [job: number, part: number, isWhole: boolean]>()
    const need = (job: number, part: number, isWhole: boolean, whileMissing: string): string => {
      const name = `${job} ${part} ${isWhole}`
      const text = known.get(name)
      if (text === undefined) missing.set(name, [job, part, isWhole])
      return text ?? whileMissing
    }
    const text = searchText(run, {
      text: (job, { part, bytes }) => need(job, part, true, errorOfLength(bytes)),
      beginning: (job, { part, bytes }, length) => need(job, part, false, ' '.repeat(Math.min(bytes, length))),
    })
    if (missing.size === 0) return text
    const asked = [...missing.values()]
    const rows = await query(selectTexts, [
      run.id,
      asked.map(([job]) => job),
      asked.map(([, part]) => part),
      asked.map(([, , isWhole]) => isWhole),
      [...missing.keys()],
    ])
    // What is gone was dropped since the record was read: the run has changed, and comes again.
    for (const [name, [, , isWhole]] of missing) known.set(name, isWhole ? '{"error":{}}' : '')
    for (const { name, value } of rows) known.set(String(name), String(value))
  }
}

/** Stands for an error or a failure that was not read yet, so that no more of them are read than there is room for. */
function errorOfLength(bytes: number): string {
  const message = ' '.repeat(Math.min(bytes, maxSearchText))
  return JSON.stringify({ message, error: { message } })
}

/** With the place of each word in the text. PostgreSQL keeps 256 places of a word, and the 16,383 first ones of a text. */
function vectorOf(words: readonly string[]): string {
  const places = new Map<string, number[]>()
  for (const [index, word] of words.entries()) {
    const known = places.get(word)
    if (known === undefined) places.set(word, [index + 1])
    else known.push(index + 1)
  }
  // Letters and digits: there is nothing to escape.
  return [...places].map(([word, at]) => `${word}:${at.join(',')}`).join(' ')
}

/**
 * What may be missing because a process has ended: each has a row in `search_progress` that says since when runs that it
 * has written may not be in the index. The row of a process that is gone is worked off by another one, which compares the
 * runs that were created or have ended since then with the index. Runs from before there was an index are worked off so, too.
 */
export interface CatchUp {
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
const registerRows = {
  name: 'register-others-for-search',
  text: `
    WITH own AS (UPDATE process SET has_search = true WHERE id = $2 AND NOT has_search)
    INSERT INTO search_progress (process, since) SELECT id, $1 FROM process WHERE ${isAlive}
    ON CONFLICT (process) DO NOTHING`,
}
// One process works them off.
const selectCatchUp = {
  name: 'select-search-catchUp',
  text: `
    SELECT process, since, below FROM search_progress
    WHERE process <> $1 AND NOT EXISTS (SELECT FROM process WHERE id = search_progress.process AND ${isAlive})
      AND $1 = (SELECT min(id) FROM process WHERE has_search AND ${isAlive})
    ORDER BY since DESC LIMIT 1`,
}
const setSince = { name: 'set-search-since', text: 'UPDATE search_progress SET since = $2 WHERE process = $1' }
const setBelow = { name: 'set-search-below', text: 'UPDATE search_progress SET below = $2 WHERE process = $1' }
const removeProgress = { name: 'remove-search-progress', text: 'DELETE FROM search_progress WHERE process = $1' }

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
  await query(registerRows, [at, process])
}

/** Everything that the process has written before the instant is in the index. */
export async function noteIndexed(query: Query, process: number, since: number): Promise<void> {
  await query(setSince, [process, since])
}

export async function forgetProgress(query: Query, process: number): Promise<void> {
  await query(removeProgress, [process])
}

export async function findCatchUp(query: Query, process: number): Promise<CatchUp | null> {
  const [row] = await query(selectCatchUp, [process])
  if (row === undefined) return null
  const { below } = row
  return catchUpOf(Number(row['process']), Number(row['since']), typeof below === 'string' ? below : highestUuid)
}

/** Of a process that could not keep all in mind that it has written. */
export function catchUpOf(process: number, since: number, below = highestUuid): CatchUp {
  return { process, since, below, ended: { at: since - marginMs, id: lowestUuid } }
}

/** Notes what is left of it. @throws DatabaseFailure */
export async function noteLeft(query: Query, { process }: CatchUp, left: CatchUp | null): Promise<void> {
  await (left === null ? query(removeProgress, [process]) : query(setBelow, [process, left.below]))
}

export interface Compared {
  /** Runs that are not in the index as they are. */
  readonly ids: readonly string[]
  /** null: nothing. */
  readonly left: CatchUp | null
}

/** Compares a part of the runs. @param limit of those that are not in the index. @throws DatabaseFailure */
export async function compare(query: Query, catchUp: CatchUp, limit: number): Promise<Compared> {
  const { since, below, ended } = catchUp
  const from = since - marginMs
  if (below !== null) {
    const created = take(await query(selectCreated, [lowestUuidAt(from), below]), limit)
    const { ids, last } = created
    if (last !== null) return { ids, left: { ...catchUp, below: String(last['id']) } }
    // From the beginning on: all runs were created since.
    return { ids, left: from < 0 ? null : { ...catchUp, below: null } }
  }
  const { ids, last } = take(await query(selectEnded, [ended.at, ended.id]), limit)
  const place = last && { at: Number(last['finished_at']), id: String(last['id']) }
  return { ids, left: place && { ...catchUp, ended: place } }
}

/** @returns with the row after which the next part begins; null: there is none */
function take(rows: readonly Row[], limit: number): { readonly ids: readonly string[]; readonly last: Row | null } {
  const missing = rows.filter((row) => row['is_missing'] === true).slice(0, limit)
  const ids = missing.map(({ id }) => String(id))
  if (ids.length === limit) return { ids, last: missing.at(-1) ?? null }
  return { ids, last: rows.length < maxLooked ? null : (rows.at(-1) ?? null) }
}
