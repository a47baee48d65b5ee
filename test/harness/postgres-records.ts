/** Changes runs in the database without the knowledge of any process, as another version or a person might. */
import { isSuspect, waitsSince } from '../../src/domain/run/transitions.ts'
import type { Run } from '../../src/domain/run/aggregate.ts'
import { decodeRun, encodeRun } from '../../src/store/run-codec.ts'
import type { Schema } from './postgres.ts'

interface Row {
  readonly id: string
  readonly version: number
  readonly record: string
}

/** Rewrites every record that the function changes, with its rows in the queue and of its holders. */
export async function changeRecords({ query }: Schema, change: (run: Run) => Run): Promise<void> {
  for (const row of await query<Row>('SELECT id, version, record FROM record')) {
    const before = decodeRun(row.record, row)
    const run = change(before)
    if (run === before) continue
    const { id, version, jobs } = run
    const held = jobs.filter(({ state }) => state === 'running').length
    await query('UPDATE record SET record = $2, version = $3, held = $4, revision = revision + 1 WHERE id = $1', [
      id,
      encodeRun(run),
      version,
      held,
    ])
    await query('DELETE FROM queue WHERE run = $1', [id])
    for (const [index, job] of jobs.entries()) {
      const { kind, priority, task, runAt, lostStarts } = job
      if (runAt === null) continue
      const lost = lostStarts === 0 ? 0 : isSuspect(job) ? 2 : 1
      const values = [kind, priority, task, runAt, id, index, waitsSince(job), lost]
      await query('INSERT INTO queue VALUES ($1, $2, true, $3, $4, $5, $6, $7, $8)', values)
    }
    await query('DELETE FROM holder WHERE run = $1', [id])
    for (const process of new Set(jobs.flatMap(({ holder }) => holder ?? []))) {
      await query('INSERT INTO holder VALUES ($1, $2)', [process, id])
    }
  }
}
