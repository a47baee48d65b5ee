/**
 * The search index. A writer updates it some time after the commits, in small steps and in a small part of the thread's
 * time, however many runs there are. The transaction that removes a run also removes it from the index.
 */
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../domain/errors.ts'
import { isAscii, searchText, type SearchWord, wordsOf } from '../search-text.ts'
import type { Payloads } from './statements/payloads.ts'
import type { Records } from './statements/records.ts'

export interface SearchProgress {
  /** Key of the first record that has never been indexed. */
  readonly nextKey: number
  /** The index has the final text of each run that ended before this instant; null: no run has ended. */
  readonly finishedAt: number | null
}

export type SearchIndex = ReturnType<typeof createSearchIndex>

/** Bound on noted changes. Only a bulk cancel changes more runs between two rounds, and it adds no words. */
const maxChanged = 50_000
const endKeySql = 'SELECT coalesce(max(key), 0) + 1 AS n FROM record'

/** A run is named by the key of its record. */
export function createSearchIndex(database: DatabaseSync) {
  const insert = database.prepare('INSERT OR REPLACE INTO search (rowid, words) VALUES (?, ?)')
  const remove = database.prepare('DELETE FROM search WHERE rowid = ?')
  const select = database.prepare(
    'SELECT rowid AS key FROM search WHERE search MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?',
  )
  const write = database.prepare('UPDATE search_progress SET next_key = ?, finished_at = ? WHERE id = 1')
  let changed = new Set<number>()
  let progress = readProgress()

  function readProgress(): SearchProgress {
    const row = database.prepare('SELECT next_key, finished_at FROM search_progress').get()
    const finishedAt = row?.['finished_at'] ?? null
    // At most the end key: after a restart, a new run can get the key of a removed one that was the highest.
    const nextKey = Math.min(Number(row?.['next_key']), Number(database.prepare(endKeySql).get()?.['n']))
    return { nextKey, finishedAt: finishedAt === null ? null : Number(finishedAt) }
  }

  return {
    /** Notes that the text of the run may have changed. */
    noteChange(key: number): void {
      if (key < progress.nextKey && changed.size < maxChanged) changed.add(key)
    },
    /** @returns the indexed runs that were noted since the last call */
    takeChanged(): ReadonlySet<number> {
      const taken = changed
      changed = new Set()
      return taken
    },
    /** Replaces the words of the run. The tokenizer of the index finds the same words in ASCII text. */
    put: (key: number, text: string) => void insert.run(key, isAscii(text) ? text : wordsOf(text).join(' ')),
    /** Keeps the noted change: the removal may be rolled back. */
    remove(key: number): void {
      if (key < progress.nextKey) remove.run(key)
    },
    /** @returns the highest keys of runs that have all of the words; `from` is included, `below` is not */
    find: (words: readonly SearchWord[], { from, below, limit }: Record<'from' | 'below' | 'limit', number>) =>
      select.all(matchOf(words), from, below, limit).map(({ key }) => Number(key)),
    progress: () => progress,
    /** Call within the transaction that writes the words. */
    setProgress(next: SearchProgress): void {
      if (next.nextKey === progress.nextKey && next.finishedAt === progress.finishedAt) return
      write.run(next.nextKey, next.finishedAt)
      progress = next
    },
    afterRollback() {
      progress = readProgress()
    },
  }
}

/** Requires every word, each as a quoted phrase without syntax (https://sqlite.org/fts5.html#fts5_strings). */
function matchOf(words: readonly SearchWord[]): string {
  return words.map(({ text, isPrefix }) => `"${wordsOf(text).join(' ')}"${isPrefix ? ' *' : ''}`).join(' AND ')
}

/** Empties the index, for a service without search. */
export function clearSearchIndex(database: DatabaseSync): void {
  database.exec("BEGIN; INSERT INTO search (search) VALUES ('delete-all')")
  database.exec('UPDATE search_progress SET next_key = 1, finished_at = NULL WHERE next_key > 1; COMMIT')
}

/** From a change to the round that indexes it, so that a run that ends soon is indexed once. */
const delayMs = 500
/** Length of one step, and of the pause after it. */
const stepMs = 2
const pauseMs = 18
/** Pause while groups are being written: they come first. */
const busyPauseMs = 98
/** How long after a group writing counts as busy. */
const busyMs = 25
/** Pause after a failure, which nearly always is a failure of the disk. */
const failurePauseMs = 10_000
const keysPerQuery = 64

export interface IndexWriterOptions {
  readonly records: Pick<Records, 'read'>
  readonly payloads: Pick<Payloads, 'text' | 'beginning'>
  /** Runs a function that writes to the file. */
  readonly write: (work: () => void) => void
  readonly onFailure: (message: string) => void
}

/** Works in rounds: each indexes all that was committed before it. */
export function createIndexWriter(
  database: DatabaseSync,
  index: SearchIndex,
  { records, payloads, write, onFailure }: IndexWriterOptions,
) {
  const begin = database.prepare('BEGIN')
  const commit = database.prepare('COMMIT')
  const selectKeys = database.prepare('SELECT key FROM record WHERE key >= ? AND key < ? ORDER BY key LIMIT ?')
  const selectEndKey = database.prepare(endKeySql)
  const selectLastEnd = database.prepare('SELECT max(finished_at) AS at FROM record WHERE finished_at IS NOT NULL')
  const selectEnded = database.prepare('SELECT key FROM record WHERE finished_at >= ? AND key < ?')
  let timer: NodeJS.Timeout | undefined
  let wokenAt = 0
  /** Whether records changed since the round began. */
  let isStale = false
  /** The key after the last record of the round. */
  let endKey = 0
  /** The latest end of a run when the round began. */
  let finishedAt: number | null = null
  /** Indexed runs to index again. At the start: runs that ended shortly before the last process did. */
  const outdated = new Set(
    selectEnded.all(index.progress().finishedAt ?? 0, index.progress().nextKey).map(({ key }) => Number(key)),
  )

  function beginRound(): void {
    try {
      for (const key of index.takeChanged()) outdated.add(key)
      endKey = Number(selectEndKey.get()?.['n'])
      const lastEnd = selectLastEnd.get()?.['at'] ?? null
      finishedAt = lastEnd === null ? null : Number(lastEnd)
      isStale = false
    } catch (error) {
      pauseAfter(error)
      return
    }
    write(step)
  }

  function put(key: number): void {
    const stored = records.read(key)
    if (stored === null) return
    let text: string
    try {
      text = searchText(stored.run, {
        text: (jobIndex, apart) => payloads.text(key, jobIndex, apart),
        beginning: (jobIndex, apart, length) => payloads.beginning(key, jobIndex, apart, length),
      })
    } catch (error) {
      // A text is damaged: leaves out only this run.
      onFailure(`${stored.run.id}: ${messageOf(error)}`)
      return
    }
    index.put(key, text)
  }

  /** @returns key of the next new record; null at the end of the round */
  function putNew(until: number): number | null {
    let { nextKey } = index.progress()
    for (;;) {
      const keys = selectKeys.all(nextKey, endKey, keysPerQuery).map(({ key }) => Number(key))
      for (const key of keys) {
        put(key)
        nextKey = key + 1
        if (performance.now() >= until) return nextKey
      }
      if (keys.length < keysPerQuery) return null
    }
  }

  /** @returns whether the round is at its end */
  function putSome(taken: number[]): boolean {
    const until = performance.now() + stepMs
    for (const key of outdated) {
      outdated.delete(key)
      taken.push(key)
      // A run can be removed after its change.
      if (selectKeys.get(key, key + 1, 1) !== undefined) put(key)
      if (performance.now() >= until) return false
    }
    const nextKey = putNew(until)
    // The loop has indexed all runs that changed before the round, so those that had ended by then have their final text.
    index.setProgress({ finishedAt, nextKey: nextKey ?? endKey })
    return nextKey === null
  }

  function step(): void {
    const taken: number[] = []
    try {
      // No fsync of its own: the fsync of the next group makes this commit durable, too.
      database.exec('PRAGMA synchronous = NORMAL')
      begin.run()
      const isDone = putSome(taken)
      commit.run()
      const isBusy = performance.now() - wokenAt < busyMs
      timer = isDone ? undefined : setTimeout(write, isBusy ? busyPauseMs : pauseMs, step)
      if (isDone && isStale) wake()
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      for (const key of taken) outdated.add(key)
      index.afterRollback()
      pauseAfter(error)
    } finally {
      database.exec('PRAGMA synchronous = FULL')
    }
  }

  function pauseAfter(error: unknown): void {
    timer = setTimeout(beginRound, failurePauseMs)
    onFailure(messageOf(error))
  }

  /** Call when a group has changed records. */
  function wake(): void {
    isStale = true
    wokenAt = performance.now()
    timer ??= setTimeout(beginRound, delayMs)
  }

  return { wake, stop: () => clearTimeout(timer) }
}
