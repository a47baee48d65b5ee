/**
 * Numbers of runs and jobs in each state, kept without counting: each writer has a row, to which its commits add. A
 * writer's share of the backlog is the number of jobs that it has added, less the number that it has ended; the backlog is
 * the sum of all shares. A process knows those of its own writers, receives others by notification, and reads all of them
 * once a second.
 */
import { jobStates } from '../../../domain/job.ts'
import { runStates } from '../../../domain/run.ts'
import { emptyTotals, storeStats, type StoreStats, type Totals } from '../../totals.ts'
import type { Query, Row } from '../connection/connection.ts'
import { dueUntil, isInLevel, levelsOf, runsHere } from './queue.ts'

/** A number that no process has. In the totals, its row adds up those of processes that are gone. */
export const noProcess = 0

/** A writing connection of a process; it has a row in the totals. */
export interface Writer {
  readonly processId: number
  readonly writer: number
}

export const totalColumns = [
  'accepted',
  'final',
  ...runStates.map((state) => `runs_${state}`),
  ...jobStates.map((state) => `jobs_${state}`),
]
/** SQL: adds the inserted values to those of the row. */
const addTotals = totalColumns.map((column) => `${column} = tally.${column} + excluded.${column}`).join(', ')

export const countTotals = `INSERT INTO tally (process, writer, ${totalColumns.join(', ')})
  VALUES (?::integer, ?::integer, ${totalColumns.map(() => '?::bigint').join(', ')})
  ON CONFLICT (process, writer) DO UPDATE SET ${addTotals} RETURNING accepted - final AS share`

const selectShare = {
  name: 'select-share',
  text: 'SELECT accepted - final AS share FROM tally WHERE process = $1 AND writer = $2',
}

/** Reads the writer's share of the backlog; null if it has counted nothing yet. */
export async function shareOfWriter(query: Query, { processId, writer }: Writer): Promise<number | null> {
  const [row] = await query(selectShare, [processId, writer])
  return row === undefined ? null : Number(row['share'])
}

export function totalValues({ accepted, final, runs, jobs }: Totals): number[] {
  return [accepted, final, ...runStates.map((state) => runs[state]), ...jobStates.map((state) => jobs[state])]
}

export function isCounted(totals: Totals): boolean {
  return totalValues(totals).some((value) => value !== 0)
}

export const foldTotals = {
  name: 'fold-totals',
  text: `
    WITH gone AS (
      DELETE FROM tally WHERE process <> ${noProcess} AND process NOT IN (SELECT id FROM process) RETURNING *)
    INSERT INTO tally (process, writer, ${totalColumns.join(', ')})
    SELECT ${noProcess}, 0, ${totalColumns.map((column) => `sum(${column})`).join(', ')} FROM gone HAVING count(*) > 0
    ON CONFLICT (process, writer) DO UPDATE SET ${addTotals}`,
}

const selectShares = {
  name: 'select-shares',
  text: `SELECT process || ' ' || writer AS name, accepted - final AS share FROM tally`,
}

/** Names a writer in maps. */
export function writerName(processId: number, writer: number): string {
  return `${processId} ${writer}`
}

export function createBacklog() {
  let writers = new Map<string, number>()
  let sum = 0
  /** Writers whose shares arrived during the read under way: they are newer than its rows. */
  let setMeanwhile = new Set<string>()

  return {
    // The rows of a process that has left are added to another row. Until both rows are read again, the sum can be too small.
    jobs: (): number => Math.max(0, sum),
    /** @param name of the writer, in this or another process, see `writerName` */
    setShare(name: string, share: number): void {
      sum += share - (writers.get(name) ?? 0)
      writers.set(name, share)
      setMeanwhile.add(name)
    },
    /** @throws DatabaseFailure */
    async refresh(query: Query): Promise<void> {
      setMeanwhile = new Set()
      const rows = await query(selectShares)
      const newer = [...writers].filter(([name]) => setMeanwhile.has(name))
      writers = new Map([...rows.map((row) => [String(row['name']), Number(row['share'])] as const), ...newer])
      sum = [...writers.values()].reduce((all, share) => all + share, 0)
    },
  }
}

// Counts the live jobs in the queue and in the records, so that they can be compared with the totals.
const selectStats = {
  name: 'select-stats',
  text: `
    WITH RECURSIVE ${levelsOf("ARRAY['cpu', 'io']")}, alive AS MATERIALIZED (
      SELECT tasks FROM process WHERE heartbeat_at > clock_timestamp() - interval '30 s')
    SELECT ${totalColumns.map((column) => `coalesce(sum(${column}), 0) AS ${column}`).join(', ')},
      (SELECT count(*) FROM queue) + (
        SELECT coalesce(sum(record.held), 0) FROM (SELECT DISTINCT run FROM holder) AS holding
        JOIN record ON record.id = holding.run) + coalesce(sum(jobs_blocked), 0) AS live,
      (SELECT min(due.run_at) FROM level CROSS JOIN LATERAL (
        SELECT run_at FROM queue WHERE ${isInLevel} AND run_at <= ${dueUntil('$1')} ORDER BY run_at LIMIT 1) AS due
      ) AS oldest,
      (SELECT json_object_agg(task, jobs) FROM (
        SELECT task, sum(waiting.jobs) AS jobs FROM level CROSS JOIN LATERAL (
          SELECT count(*) AS jobs FROM queue WHERE ${isInLevel}) AS waiting
        WHERE NOT EXISTS (SELECT FROM alive WHERE ${runsHere('level.task', 'alive.tasks')})
        GROUP BY task) AS unknown) AS unknown_tasks
    FROM tally`,
}

export async function readStats(query: Query, at: number): Promise<StoreStats> {
  const [row = {}] = await query(selectStats, [at])
  const oldest = row['oldest']
  // The statement returns an object of this form, or null.
  const unknownTasks = (row['unknown_tasks'] ?? {}) as StoreStats['unknownTasks']
  const oldestDueAt = typeof oldest === 'number' ? oldest : null
  return storeStats({ totals: totalsIn(row), live: Number(row['live']), oldestDueAt, unknownTasks }, at)
}

function totalsIn(row: Row): Totals {
  const totals = emptyTotals()
  const read = (column: string): number => Number(row[column] ?? 0)
  totals.accepted = read('accepted')
  totals.final = read('final')
  for (const state of runStates) totals.runs[state] = read(`runs_${state}`)
  for (const state of jobStates) totals.jobs[state] = read(`jobs_${state}`)
  return totals
}
