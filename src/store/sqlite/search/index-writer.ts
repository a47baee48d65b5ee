/**
 * Writes the words of runs to the search index some time after their commits: in small steps, and for a small part of the
 * thread's time, however many runs there are. A run that ends within the pause is written once.
 */
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../../domain/errors.ts'
import { searchText } from '../../search-text.ts'
import type { Transaction } from '../writing/transaction.ts'

export interface SearchIndex {
  /** Records may have changed. */
  wake(): void
  stop(): void
}

export interface SearchIndexOptions {
  /** Runs what writes to the file. */
  readonly write: (work: () => void) => void
  /** Called when the index could not be written. */
  readonly onTrouble: (message: string) => void
}

/** From a change to the round that begins with it. */
const delayMs = 500
/** Milliseconds of one step of the work, and of the pause after it. */
const stepMs = 2
const pauseMs = 18
/** The same while records are being written, which come first. */
const busyPauseMs = 98
/** Time after the last writing group. */
const busyMs = 25
/** Pause after a failure, which is nearly always the disk's. */
const troubledMs = 10_000
const keysAtOnce = 64

export function createSearchIndex(
  database: DatabaseSync,
  { search, records, payloads }: Pick<Transaction, 'search' | 'records' | 'payloads'>,
  { write, onTrouble }: SearchIndexOptions,
): SearchIndex | null {
  if (search === null) return null
  const index = search
  const begin = database.prepare('BEGIN')
  const commit = database.prepare('COMMIT')
  const selectKeys = database.prepare('SELECT key FROM record WHERE key >= ? AND key < ? ORDER BY key LIMIT ?')
  const selectEnd = database.prepare('SELECT coalesce(max(key), 0) + 1 AS n FROM record')
  const selectLast = database.prepare('SELECT max(finished_at) AS at FROM record WHERE finished_at IS NOT NULL')
  const selectEnded = database.prepare('SELECT key FROM record WHERE finished_at >= ? AND key < ?')
  let timer: NodeJS.Timeout | undefined
  /** Whether more was committed since the round began. */
  let isStale = false
  let writtenAt = 0
  const due = endedSince()
  /** The bounds of this round, as they were when it began: the key after its last record, and the latest end of a run. */
  let endKey = 0
  let finishedAt: number | null = null

  /** Runs that ended shortly before the last process did: the index may have an earlier state of them. */
  function endedSince(): Set<number> {
    const { nextKey, finishedAt: since } = index.progress()
    const rows = selectEnded.all(since ?? 0, nextKey)
    return new Set(rows.map(({ key }) => Number(key)))
  }

  function beginRound(): void {
    try {
      prepareRound()
    } catch (error) {
      giveUp(error)
      return
    }
    write(step)
  }

  function prepareRound(): void {
    for (const key of index.takeNoted()) due.add(key)
    endKey = Number(selectEnd.get()?.['n'])
    const at = selectLast.get()?.['at'] ?? null
    finishedAt = at === null ? null : Number(at)
    isStale = false
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
      // A damaged text: only this run is left out.
      onTrouble(`${stored.run.id}: ${messageOf(error)}`)
      return
    }
    index.put(key, text)
  }

  /** @returns the next record's key; null where the round has reached its end */
  function putNew(until: number): number | null {
    let { nextKey } = index.progress()
    for (;;) {
      const keys = selectKeys.all(nextKey, endKey, keysAtOnce).map(({ key }) => Number(key))
      for (const key of keys) {
        put(key)
        nextKey = key + 1
        if (performance.now() >= until) return nextKey
      }
      if (keys.length < keysAtOnce) return null
    }
  }

  /** @returns whether the round has come to its end */
  function putSome(taken: number[]): boolean {
    const until = performance.now() + stepMs
    for (const key of due) {
      due.delete(key)
      taken.push(key)
      put(key)
      if (performance.now() >= until) return false
    }
    const nextKey = putNew(until)
    // A run that ended before the round began and is in the index is there in its final state.
    index.setProgress({ finishedAt, nextKey: nextKey ?? endKey })
    return nextKey === null
  }

  function step(): void {
    const taken: number[] = []
    try {
      // It need not be on the disk at once: it precedes the next group in the log, and is durable with that.
      database.exec('PRAGMA synchronous = NORMAL')
      begin.run()
      const isDone = putSome(taken)
      commit.run()
      timer = isDone
        ? undefined
        : setTimeout(write, performance.now() - writtenAt < busyMs ? busyPauseMs : pauseMs, step)
      if (isDone && isStale) wake()
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK')
      for (const key of taken) due.add(key)
      index.revert()
      giveUp(error)
    } finally {
      database.exec('PRAGMA synchronous = FULL')
    }
  }

  /** For a while. */
  function giveUp(error: unknown): void {
    timer = setTimeout(beginRound, troubledMs)
    onTrouble(messageOf(error))
  }

  function wake(): void {
    isStale = true
    writtenAt = performance.now()
    timer ??= setTimeout(beginRound, delayMs)
  }

  return {
    wake,
    stop: () => clearTimeout(timer),
  }
}
