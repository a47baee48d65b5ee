/** Finds out whether a commit took place during which the connection was lost, and sees to it that it cannot any more. */
import type { Query } from './connection.ts'
import { rowOf, type Sender } from './transaction.ts'

// Waits for the transaction in doubt where that has the row. Where it comes to the row later, it finds it out of step.
const bar = { text: 'UPDATE tally SET commits = $2::bigint - 1 WHERE owner = $1 AND commits < $2 RETURNING 1' }
const select = { text: 'SELECT accepted - final AS live FROM tally WHERE owner = $1 AND commits >= $2' }
const enter = {
  text: `INSERT INTO tally (owner, commits) VALUES ($1, $2)
    ON CONFLICT (owner) DO UPDATE SET commits = excluded.commits`,
}

type Lane = Pick<Sender, 'owner' | 'lane'>

/** What the row says of its commits when one that was in doubt cannot take place any more. */
export function barredAt(number: number): number {
  return number - 1
}

/** The number of the commit behind one with which, or behind a bar with which, the row says so. */
export function numberAfter(commits: number): number {
  return commits + 2
}

/**
 * @param number of the commit
 * @returns where it took place, how many jobs that are not final the lane has added so far
 * @throws DatabaseFailure while that cannot be known
 */
export async function lookUp(query: Query, lane: Lane, number: number): Promise<{ readonly live: number } | null> {
  if ((await query(bar, [rowOf(lane), number])).length > 0) return null
  const [row] = await query(select, [rowOf(lane), number])
  return row === undefined ? null : { live: Number(row['live']) }
}

/** Brings the lane's row into step, or makes it anew: it is forgotten when its process has been silent for an hour. */
export async function enterLane(query: Query, lane: Lane, commits: number): Promise<void> {
  await query(enter, [rowOf(lane), commits])
}
