/**
 * Totals by state and since the beginning, so that no reply needs a count over the tables, and what tasks did in each
 * minute. Totals are kept in memory, written in the transaction that changes them, and reverted with it.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JobState } from '../../../domain/job.ts'
import type { RunState } from '../../../domain/run.ts'
import {
  type MinuteRange,
  type MinuteRow,
  minutesPerPrune,
  minutesPerRead,
  type StoredMinute,
} from '../../../domain/task-history.ts'
import { countJob, countRun, emptyTotals, liveOf, type Totals as TotalsByState } from '../../totals.ts'
import { prepareSelect } from '../connection/node-sqlite.ts'

export interface Totals {
  current(): Readonly<TotalsByState>
  /** Jobs not yet final. */
  live(): number
  /** `from` null: accepted; `to` null: forgotten. */
  countJob(from: JobState | null, to: JobState | null): void
  countRun(from: RunState | null, to: RunState | null): void
  /** Writes what changed; call within the transaction. */
  flush(): void
  /** Call after the commit. */
  keep(): void
  /** Call when the transaction was rolled back. */
  revert(): void
}

/**
 * @param counted jobs that wait or run, counted from the rows, so that rows and totals can be compared; a blocked job has
 * no row
 */
export function createTotals(database: DatabaseSync, counted: number): Totals {
  const write = database.prepare('INSERT OR REPLACE INTO tally (id, totals) VALUES (1, ?)')
  const row = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  let committed = row === undefined ? JSON.stringify(emptyTotals()) : String(row['totals'])
  /** The row's text within the transaction, which can be written several times and end as it began. */
  let written = committed
  let totals = parseTotals(committed)
  let live = counted + totals.jobs.blocked
  let committedLive = live

  return {
    current: () => totals,
    live: () => live,
    countJob(from, to) {
      const before = liveOf(totals)
      countJob(totals, from, to)
      live += liveOf(totals) - before
    },
    countRun: (from, to) => countRun(totals, from, to),
    flush() {
      const text = JSON.stringify(totals)
      if (text !== written) write.run(text)
      written = text
    },
    keep() {
      committed = written
      committedLive = live
    },
    revert() {
      written = committed
      totals = parseTotals(committed)
      live = committedLive
    },
  }
}

function parseTotals(text: string): TotalsByState {
  // Only this file writes the row. A state that is newer than the text has no jobs.
  const { jobs, ...totals } = JSON.parse(text) as TotalsByState
  return { ...totals, jobs: { ...emptyTotals().jobs, ...jobs } }
}

export interface Minutes {
  add(rows: readonly MinuteRow[]): void
  /** In their order, at most `minutesPerRead`. */
  read(range: MinuteRange): StoredMinute[]
  /** The oldest rows before the instant. @returns how many */
  prune(before: number): number
}

export function createMinutes(database: DatabaseSync): Minutes {
  const insert = database.prepare('INSERT INTO minute (at, task, figures) VALUES (?, ?, ?)')
  const select = prepareSelect<StoredMinute>(
    database,
    'id, at, figures',
    `FROM minute WHERE task = ? AND at < ? AND (at, id) > (?, ?) ORDER BY at, id LIMIT ${minutesPerRead}`,
  )
  const remove = database.prepare(
    `DELETE FROM minute WHERE at < ? AND id IN (SELECT id FROM minute ORDER BY id LIMIT ${minutesPerPrune})`,
  )

  return {
    add(rows) {
      for (const { at, task, figures } of rows) insert.run(at, task, figures)
    },
    read: ({ task, from, to, after }) => select(task, to, ...(after === null ? [from, -1] : [after.at, after.id])),
    prune: (before) => Number(remove.run(before).changes),
  }
}
