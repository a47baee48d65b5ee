/**
 * The table `search`: writes the words of runs, and finds runs that are missing. Each run has one row, with the revision of
 * its record that the words belong to.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Log } from '../../../log.ts'
import { maxSearchText, searchText, wordsOf } from '../../search-text.ts'
import { columns, type Query, type Row } from '../connection/connection.ts'
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
// The lock keeps the record from being removed meanwhile, so that a removed run leaves no words. It allows all other changes.
// A run that another transaction has locked is left out, so that nothing waits.
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

/** Milliseconds of the main thread, after which its event loop turns. */
const sliceMs = 2

/**
 * Indexes runs whose words are missing or outdated.
 * @returns the runs that another transaction has locked or removed
 * @throws DatabaseFailure
 */
export async function indexRuns(
  query: Query,
  decoder: RecordDecoder,
  ids: readonly string[],
  log: Pick<Log, 'warn'>,
): Promise<string[]> {
  const stale = decoder.decode(await query(selectStale, [ids]))
  const rows: { readonly id: string; readonly revision: number; readonly words: string }[] = []
  let until = performance.now() + sliceMs
  for (const stored of stale) {
    const text = await textOf(query, stored).catch((error: unknown) => {
      if (isFailure(error)) throw error
      // A text is damaged: only its run is left out.
      log.warn({ runId: stored.run.id, err: error }, 'the words of a run cannot be read')
      return null
    })
    if (text === null) continue
    rows.push({ id: stored.run.id, revision: stored.revision, words: vectorOf(wordsOf(text)) })
    if (performance.now() < until) continue
    await nextTurn()
    until = performance.now() + sliceMs
  }
  if (rows.length === 0) return []
  const present = new Set((await query(putWords, columns(rows, 'id', 'revision', 'words'))).map(({ id }) => String(id)))
  return rows.map(({ id }) => id).filter((id) => !present.has(id))
}

interface MissingText {
  readonly name: string
  readonly job: number
  readonly part: number
  readonly isWhole: boolean
}

/**
 * Returns the text to search, with the texts that are kept apart. How much room each one has depends on the others, so it
 * reads them in rounds, until no needed one is missing.
 */
async function textOf(query: Query, { run }: Stored): Promise<string> {
  const known = new Map<string, string>()
  for (;;) {
    const missing = new Map<string, MissingText>()
    const need = (job: number, part: number, isWhole: boolean, placeholder: string): string => {
      const name = `${job} ${part} ${isWhole}`
      const text = known.get(name)
      if (text === undefined) missing.set(name, { name, job, part, isWhole })
      return text ?? placeholder
    }
    const text = searchText(run, {
      text: (job, { part, bytes }) => need(job, part, true, errorOfLength(bytes)),
      beginning: (job, { part, bytes }, length) => need(job, part, false, ' '.repeat(Math.min(bytes, length))),
    })
    if (missing.size === 0) return text
    const texts = [...missing.values()]
    const rows = await query(selectTexts, [run.id, ...columns(texts, 'job', 'part', 'isWhole', 'name')])
    // A text may be gone: then the run has changed since its record was read, and is indexed again.
    for (const { name, isWhole } of texts) known.set(name, isWhole ? '{"error":{}}' : '')
    for (const { name, value } of rows) known.set(String(name), String(value))
  }
}

/** A placeholder for an error or a failure that takes up its room in the text, so that no more texts are read than fit. */
function errorOfLength(bytes: number): string {
  const message = ' '.repeat(Math.min(bytes, maxSearchText))
  return JSON.stringify({ message, error: { message } })
}

/** Encodes words with their positions. PostgreSQL keeps 256 positions of a word, and the first 16,383 of a text. */
function vectorOf(words: readonly string[]): string {
  const positions = new Map<string, number[]>()
  for (const [index, word] of words.entries()) {
    const known = positions.get(word)
    if (known === undefined) positions.set(word, [index + 1])
    else known.push(index + 1)
  }
  // Words have only letters and digits: nothing needs an escape.
  return [...positions].map(([word, at]) => `${word}:${at.join(',')}`).join(' ')
}

/**
 * Runs to compare with the index, because a process has ended before it indexed them. Each process has a row in
 * `search_progress`: all that it wrote before `since` is in the index. When a process is gone, another one compares the runs
 * that were created or have ended since then. Runs from before there was an index are compared in the same way.
 */
export interface CatchUp {
  readonly processId: number
  /** By the clock of that process. */
  readonly since: number
  /** Of the runs created since then, those from this id on are done. Null: all are done, and those that have ended follow. */
  readonly below: string | null
  /** Of the runs that have ended since then, those up to this one are done. */
  readonly ended: Ended
}

interface Ended {
  readonly at: number
  readonly id: string
}

/** Clocks may step, and a run is committed some time after its id was made. */
const marginMs = 60_000
const maxCompared = 256
const isAlive = "process.heartbeat_at > clock_timestamp() - interval '30 s'"

// For processes of an older version, and for those that counted as dead for a while and so have a new row in `process`.
const registerRows = {
  name: 'register-others-for-search',
  text: `
    WITH own AS (UPDATE process SET has_search = true WHERE id = $2 AND NOT has_search)
    INSERT INTO search_progress (process, since) SELECT id, $1 FROM process WHERE ${isAlive}
    ON CONFLICT (process) DO NOTHING`,
}
// Only one process catches up: the living one with the lowest number that has search.
const selectCatchUp = {
  name: 'select-search-catch-up',
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
  FROM (SELECT id, revision, finished_at FROM record WHERE ${looked} ORDER BY ${order} LIMIT ${maxCompared}) AS looked
  LEFT JOIN search ON search.run = looked.id`
const selectCreated = { name: 'compare-created', text: compared('id >= $1 AND id < $2', 'id DESC') }
const selectEnded = {
  name: 'compare-ended',
  text: compared('finished_at >= $1 AND (finished_at > $1 OR id > $2)', 'finished_at, id'),
}

/** Adds missing rows of other processes. A new process adds its own. @throws DatabaseFailure */
export async function registerOthers(query: Query, processId: number, at: number): Promise<void> {
  await query(registerRows, [at, processId])
}

/** Notes that everything that the process wrote before the instant is in the index. */
export async function noteIndexed(query: Query, processId: number, since: number): Promise<void> {
  await query(setSince, [processId, since])
}

export async function forgetProgress(query: Query, processId: number): Promise<void> {
  await query(removeProgress, [processId])
}

export async function findCatchUp(query: Query, processId: number): Promise<CatchUp | null> {
  const [row] = await query(selectCatchUp, [processId])
  if (row === undefined) return null
  const { below } = row
  return catchUpOf(Number(row['process']), Number(row['since']), typeof below === 'string' ? below : highestUuid)
}

/** Compares what the process has written since the instant. */
export function catchUpOf(processId: number, since: number, below = highestUuid): CatchUp {
  return { processId, since, below, ended: { at: since - marginMs, id: lowestUuid } }
}

/** Notes how far the comparison is. @throws DatabaseFailure */
export async function noteLeft(query: Query, { processId }: CatchUp, left: CatchUp | null): Promise<void> {
  await (left === null ? query(removeProgress, [processId]) : query(setBelow, [processId, left.below]))
}

interface Compared {
  /** Runs whose words are missing or outdated. */
  readonly ids: readonly string[]
  /** What is left to compare; null: nothing. */
  readonly left: CatchUp | null
}

/** Compares some of the runs, until `limit` of them are found missing or outdated. @throws DatabaseFailure */
export async function compare(query: Query, catchUp: CatchUp, limit: number): Promise<Compared> {
  const { since, below, ended } = catchUp
  const from = since - marginMs
  if (below !== null) {
    const created = take(await query(selectCreated, [lowestUuidAt(from), below]), limit)
    const { ids, last } = created
    if (last !== null) return { ids, left: { ...catchUp, below: String(last['id']) } }
    // All runs were created since the beginning of time: none remains.
    return { ids, left: from < 0 ? null : { ...catchUp, below: null } }
  }
  const { ids, last } = take(await query(selectEnded, [ended.at, ended.id]), limit)
  const upTo = last && { at: Number(last['finished_at']), id: String(last['id']) }
  return { ids, left: upTo && { ...catchUp, ended: upTo } }
}

/** @returns `last`: the row after which the next comparison begins; null if there are no more rows */
function take(rows: readonly Row[], limit: number): { readonly ids: readonly string[]; readonly last: Row | null } {
  const missing = rows.filter((row) => row['is_missing'] === true).slice(0, limit)
  const ids = missing.map(({ id }) => String(id))
  if (ids.length === limit) return { ids, last: missing.at(-1) ?? null }
  return { ids, last: rows.length < maxCompared ? null : (rows.at(-1) ?? null) }
}
