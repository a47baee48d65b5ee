/**
 * Totals by state and since the database was made. They are kept in memory, and written in the transaction that changes
 * them.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { JobState } from '../../../domain/job.ts'
import type { RunState } from '../../../domain/run.ts'
import { countJob, countRun, emptyTotals, liveOf, type Totals as TotalsByState } from '../../totals.ts'

export type Totals = ReturnType<typeof createTotals>

/**
 * @param jobsInRows number of waiting and running jobs according to the rows of the queue and the records, so that these
 * can be compared with the totals; they do not count blocked jobs
 */
export function createTotals(database: DatabaseSync, jobsInRows: number) {
  const write = database.prepare('INSERT OR REPLACE INTO tally (id, totals) VALUES (1, ?)')
  const row = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  let committed = row === undefined ? JSON.stringify(emptyTotals()) : String(row['totals'])
  /** The row's text within the transaction. */
  let written = committed
  let totals = parseTotals(committed)
  let live = jobsInRows + totals.jobs.blocked
  let committedLive = live

  return {
    current: (): Readonly<TotalsByState> => totals,
    /** Jobs that are not final. */
    live: () => live,
    /** @param from null for an accepted job @param to null for a removed job */
    countJob(from: JobState | null, to: JobState | null): void {
      const before = liveOf(totals)
      countJob(totals, from, to)
      // Not set to the total: a difference to the rows would disappear.
      live += liveOf(totals) - before
    },
    countRun: (from: RunState | null, to: RunState | null) => countRun(totals, from, to),
    flush() {
      const text = JSON.stringify(totals)
      if (text !== written) write.run(text)
      written = text
    },
    afterCommit() {
      committed = written
      committedLive = live
    },
    afterRollback() {
      written = committed
      totals = parseTotals(committed)
      live = committedLive
    },
  }
}

function parseTotals(text: string): TotalsByState {
  // Only this file writes the row. An older version wrote it without the states that it did not know.
  const { jobs, ...totals } = JSON.parse(text) as TotalsByState
  return { ...totals, jobs: { ...emptyTotals().jobs, ...jobs } }
}
