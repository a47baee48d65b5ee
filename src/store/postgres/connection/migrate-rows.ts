/** Copies runs and jobs from the tables of a row each, which older versions wrote, to records. */
import { runOfRows, type OldJob, type OldRun } from '../../old-rows.ts'
import type { Query, Row } from './connection.ts'
import { createUnit } from '../writing/unit.ts'
import { totalColumns, write } from '../writing/write.ts'

interface RunRow extends OldRun {
  /** Of its jobs, whatever they hold. */
  readonly bytes: number
}

/** Runs that are copied at once, and bytes of their jobs: at least one run. */
const maxRuns = 500
const maxBytes = 16 * 2 ** 20
/** Of a process that is none: what was running when the tables were changed is taken back. */
const nobody = 0

const selectRuns = {
  text: `
    SELECT *, (
      SELECT sum(coalesce(octet_length(input), 0) + coalesce(octet_length(result), 0) + octet_length(failures))
      FROM old_job WHERE run_id = old_run.id) AS bytes
    FROM old_run WHERE id > $1 ORDER BY id LIMIT ${maxRuns}`,
}
const selectJobs = { text: 'SELECT * FROM old_job WHERE run_id = ANY($1::uuid[]) ORDER BY run_id, job_index' }
const lowestId = '00000000-0000-0000-0000-000000000000'

/** Within the transaction of the migration. */
export async function migrateRows(query: Query): Promise<void> {
  let last = lowestId
  for (;;) {
    const rows = within(await query(selectRuns, [last]))
    const end = rows.at(-1)
    if (end === undefined) break
    last = end.id
    const jobs = await query(selectJobs, [rows.map(({ id }) => id)])
    const jobsOf = Map.groupBy(jobs, (row) => String(row['run_id']))
    const unit = createUnit([])
    // Of the tables above.
    for (const row of rows) unit.add(runOfRows(row, (jobsOf.get(row.id) ?? []) as unknown as OldJob[], nobody))
    await write(query, { process: nobody, writer: 0 }, '', unit.finish(), [])
  }
  // Exact as they were: they count runs that were forgotten since, too.
  await query({ text: 'DELETE FROM tally' })
  // No job was blocked in those days.
  const sums = totalColumns.map((column) => (column === 'jobs_blocked' ? '0' : `sum(${column})`)).join(', ')
  await query({ text: `INSERT INTO tally SELECT ${nobody}, 0, ${sums} FROM old_tally HAVING count(*) > 0` })
  await query({ text: 'DROP TABLE old_run, old_job, old_tally' })
}

function within(rows: readonly Row[]): RunRow[] {
  const taken: RunRow[] = []
  let bytes = 0
  // Of the columns above.
  for (const row of rows as unknown as readonly RunRow[]) {
    bytes += row.bytes
    if (taken.length > 0 && bytes > maxBytes) break
    taken.push(row)
  }
  return taken
}
