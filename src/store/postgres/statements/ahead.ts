/** A job's place in the queue: how many due jobs are claimed before it. */
import { isRunId } from '../../../domain/ids.ts'
import { maxCountedAhead } from '../../bounds.ts'
import type { Query } from '../connection/connection.ts'
import { isNotPaused } from './paused-tasks.ts'
import { dueUntil, isInLevel, levelsOf, runsHere } from './queue.ts'

const selectPlace = {
  name: 'select-place',
  text: 'SELECT kind, priority, run_at FROM queue WHERE run = $1::uuid AND job = $2::integer',
}
const countBefore = {
  name: 'count-before',
  text: `
    WITH RECURSIVE ${levelsOf('ARRAY[$1::text]')}
    SELECT count(*) AS ahead FROM level CROSS JOIN LATERAL (
      SELECT FROM queue WHERE ${isInLevel} AND queue.run_at <= ${dueUntil('$6')}
        AND (level.priority > $2::integer
          OR (queue.run_at, queue.run, queue.job) < ($3::bigint, $4::uuid, $5::integer))
      LIMIT ${maxCountedAhead}) AS before
    WHERE level.priority >= $2::integer AND ${runsHere('level.task', '$7')} AND ${isNotPaused('level.task')}`,
}

/** @param tasks that run here; null: any */
export async function countAhead(
  query: Query,
  tasks: readonly string[] | null,
  runId: string,
  jobIndex: number,
  at: number,
): Promise<number | null> {
  if (!isRunId(runId)) return null
  const [place] = await query(selectPlace, [runId, jobIndex])
  if (place === undefined) return null
  const { kind, priority, run_at: runAt } = place
  const [row] = await query(countBefore, [kind, priority, runAt, runId, jobIndex, at, tasks])
  return Number(row?.['ahead'] ?? 0)
}
