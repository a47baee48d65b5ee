/** Copies runs and jobs from the tables of a row each, which older versions wrote, to records. */
import type { DatabaseSync } from 'node:sqlite'
import { runOfRows, type OldJob, type OldRun } from '../../old-rows.ts'
import { createTransaction } from '../writing/transaction.ts'

/** Runs that are kept in memory before they are written. */
const runsPerFlush = 1_000

/** Within the transaction of the migration. */
export function migrateRows(database: DatabaseSync): void {
  const tally = database.prepare('SELECT totals FROM tally WHERE id = 1').get()
  const selectJobs = database.prepare('SELECT * FROM old_job WHERE run_id = ? ORDER BY job_index')
  const transaction = createTransaction(database)
  let pending = 0
  // The ids sort by time of creation, so the keys come in that order too.
  for (const row of database.prepare('SELECT * FROM old_run ORDER BY id').iterate()) {
    const run = row as unknown as OldRun
    transaction.add(runOfRows(run, selectJobs.all(run.id) as unknown as OldJob[], null))
    pending += 1
    if (pending % runsPerFlush === 0) transaction.flush()
  }
  transaction.flush()
  // The old totals, because they also count runs that were removed since.
  if (tally !== undefined) database.prepare('UPDATE tally SET totals = ? WHERE id = 1').run(String(tally['totals']))
  database.exec('DROP TABLE old_run; DROP TABLE old_job; DROP TABLE old_run_tag')
}
