/** Brings words of runs into the index for search. Each run is one row there, with the revision that its words are of. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { maxSearchText, searchText } from '../../search-text.ts'
import { wordsOf } from '../../search-words.ts'
import type { Log } from '../../../log.ts'
import type { Query } from '../connection/connection.ts'
import { isFailure } from '../connection/failure.ts'
import { rowsOf, type Readable } from '../statements/records.ts'
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
  readable: Readable,
  ids: readonly string[],
  log: Pick<Log, 'warn'>,
): Promise<string[]> {
  const stale = readable.decode(rowsOf(await query(selectStale, [ids])))
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
    const take = (job: number, part: number, isWhole: boolean, whileMissing: string): string => {
      const name = `${job} ${part} ${isWhole}`
      const text = known.get(name)
      if (text === undefined) missing.set(name, [job, part, isWhole])
      return text ?? whileMissing
    }
    const text = searchText(run, {
      text: (job, { part, bytes }) => take(job, part, true, errorOfLength(bytes)),
      beginning: (job, { part, bytes }, length) => take(job, part, false, ' '.repeat(Math.min(bytes, length))),
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
