/**
 * Transactions that read before they write: rows are locked and moved in memory, and what became of them is written at
 * the end together with the commit, in three trips to the server.
 */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { Query } from './connection.ts'
import { liveOf } from './counts.ts'
import { encodeNotice } from './notices.ts'
import { committed, nothingDone, type Commit, type Outcome, type Sender } from './transaction.ts'
import type { Unit } from './unit.ts'
import { write } from './write.ts'

/** What a transaction has done, but for the last writing. */
export interface Prepared {
  readonly unit: Unit
  /** What each of its operations returns. */
  readonly values: readonly unknown[]
  /** The right to run these goes to whoever asked. */
  readonly given: readonly ClaimedJob[]
  /** Whether there is anything to commit; the lane's row is locked then. */
  readonly writes: boolean
}

/** @param beginning is on its way, and is to be awaited together with the first of what follows it */
export type Prepare = (query: Query, sender: Sender, beginning: Promise<unknown>) => Promise<Prepared>

export const begin = { name: 'begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED' }
export const end = { name: 'commit', text: 'COMMIT' }
export const takeBack = { name: 'rollback', text: 'ROLLBACK' }

export function transact(prepare: Prepare): Commit<unknown> {
  return async (connection, sender) => {
    const { query } = connection
    const prepared = await prepare(query, sender, query(begin)).catch(async (error: unknown) => {
      if (connection.isOpen()) await query(takeBack).catch(() => {})
      throw error
    })
    const { unit, values, given, writes } = prepared
    if (!writes) {
      await query(end)
      return { ...nothingDone, values, commits: sender.commits, live: sender.live }
    }
    const outcome: Outcome = {
      values,
      given,
      changes: unit.takeChanges(),
      voided: unit.voided(),
      commits: sender.number,
      live: sender.live + liveOf(unit.counts),
      waiting: unit.waiting(),
      leaves: 'none',
      hasOrphans: false,
    }
    // Where the writing fails, the commit behind it takes everything back.
    const sent = Promise.all([write(query, sender, unit, messagesOf(outcome, sender)), query(end)])
    await committed(sent, sender, async () => outcome)
    return outcome
  }
}

function messagesOf({ live, changes, voided, waiting }: Outcome, { owner, lane }: Sender): string[] {
  return encodeNotice({ type: 'commit', from: owner, lane, live, hasWork: waiting === 'due', changes, voided })
}
