/**
 * The search index. `index-writer.ts` writes it some time after the records; the transaction that removes a run also
 * removes it here.
 */
import type { DatabaseSync } from 'node:sqlite'
import { isAscii, type SearchWord, wordsOf } from '../../search-words.ts'

export interface SearchProgress {
  /** Of the first record that has never been in the index. */
  readonly nextKey: number
  /** Runs that ended before it are in the index as they ended; null: none has ended. */
  readonly finishedAt: number | null
}

export interface Search {
  /** Notes that what the run says has changed. */
  note(key: number): void
  remove(key: number): void
  /** Keys of runs that have all of the words, from the highest on, of those from `from` to below `below`. */
  find(words: readonly SearchWord[], from: number, below: number, limit: number): number[]
  /** Puts the words in the place of those that the run had. */
  put(key: number, text: string): void
  /** Runs that were noted since, of those that are in the index. */
  takeNoted(): Set<number>
  progress(): SearchProgress
  /** Writes it; within the transaction of the words. Call `revert` when that was rolled back. */
  setProgress(progress: SearchProgress): void
  revert(): void
}

/** More runs change at once only when many are cancelled together, which adds no words. */
const maxNoted = 50_000

export function createSearch(database: DatabaseSync): Search {
  const insert = database.prepare('INSERT OR REPLACE INTO search (rowid, words) VALUES (?, ?)')
  const remove = database.prepare('DELETE FROM search WHERE rowid = ?')
  const select = database.prepare(
    'SELECT rowid AS key FROM search WHERE search MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?',
  )
  const write = database.prepare('UPDATE search_progress SET next_key = ?, finished_at = ? WHERE id = 1')
  const selectEnd = database.prepare('SELECT coalesce(max(key), 0) + 1 AS n FROM record')
  let noted = new Set<number>()
  let progress = readProgress()

  function readProgress(): SearchProgress {
    const row = database.prepare('SELECT next_key, finished_at FROM search_progress').get()
    const finishedAt = row?.['finished_at'] ?? null
    // After the run with the highest key was removed, the next start gives its key to another run.
    const nextKey = Math.min(Number(row?.['next_key']), Number(selectEnd.get()?.['n']))
    return { nextKey, finishedAt: finishedAt === null ? null : Number(finishedAt) }
  }

  return {
    note(key) {
      if (key < progress.nextKey && noted.size < maxNoted) noted.add(key)
    },
    remove(key) {
      noted.delete(key)
      if (key < progress.nextKey) remove.run(key)
    },
    find: (words, from, below, limit) =>
      select.all(expressionOf(words), from, below, limit).map(({ key }) => Number(key)),
    // Of ASCII the index makes the same words by itself.
    put: (key, text) => void insert.run(key, isAscii(text) ? text : wordsOf(text).join(' ')),
    takeNoted() {
      const taken = noted
      noted = new Set()
      return taken
    },
    progress: () => progress,
    setProgress(changed) {
      if (changed.nextKey === progress.nextKey && changed.finishedAt === progress.finishedAt) return
      write.run(changed.nextKey, changed.finishedAt)
      progress = changed
    },
    revert() {
      progress = readProgress()
    },
  }
}

/** Each as a phrase in quotes, within which nothing is syntax (https://sqlite.org/fts5.html#fts5_strings); all are needed. */
function expressionOf(words: readonly SearchWord[]): string {
  return words.map(({ text, isBeginning }) => `"${wordsOf(text).join(' ')}"${isBeginning ? ' *' : ''}`).join(' AND ')
}

/** For a service without search: no words of runs are kept. */
export function clearSearch(database: DatabaseSync): void {
  database.exec("BEGIN; INSERT INTO search (search) VALUES ('delete-all')")
  database.exec('UPDATE search_progress SET next_key = 1, finished_at = NULL WHERE next_key > 1; COMMIT')
}
