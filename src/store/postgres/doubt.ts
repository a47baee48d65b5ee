/** Finds out whether a commit took place during which the connection was lost. */
import type { Query } from './connection.ts'

// Waits for the transaction in doubt where the server still has it: both want this row to themselves.
const select = { text: 'SELECT commits FROM tally WHERE owner = $1 FOR UPDATE' }

/** @param commit its number. @throws DatabaseFailure while that cannot be known */
export async function tookPlace(query: Query, owner: string, commit: number): Promise<boolean> {
  const [row] = await query(select, [owner])
  return Number(row?.['commits'] ?? 0) >= commit
}
