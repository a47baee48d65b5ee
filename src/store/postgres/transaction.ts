/**
 * Runs one transaction from its beginning to its commit. Where the connection is lost while the commit is under way,
 * nobody knows whether it took place: that is told apart, with a number by which it can be found out.
 */
import type { Claim, ClaimedJob } from '../../domain/claim.ts'
import type { RunChange } from '../../domain/run.ts'
import type { Connection, Query } from './connection.ts'
import { liveOf, type Counts } from './counts.ts'
import { isFailure } from './failure.ts'
import { encodeNotice } from './notices.ts'
import type { Unit } from './unit.ts'
import { write } from './write.ts'

/** What a transaction has done, but for the last writing. */
export interface Prepared {
  readonly unit: Unit
  /** What each of its operations returns. */
  readonly values: readonly unknown[]
  /** The right to run these goes to whoever asked. */
  readonly given: readonly ClaimedJob[]
  /** Whether there is anything to commit. */
  readonly writes: boolean
  /** Whether jobs that are due are left for other processes. */
  readonly leavesWork: boolean
}

/** What a transaction does to the world when it is committed. */
export interface Outcome extends Omit<Prepared, 'unit'> {
  readonly changes: readonly RunChange[]
  /** The claims of jobs that were running and are cancelled. */
  readonly voided: readonly Claim[]
  readonly counts: Counts
  /** Whether jobs wait now that did not before. */
  readonly hasQueued: boolean
}

export interface Sender {
  readonly owner: string
  readonly channel: string
  /** Jobs that are not final which this process has added so far. */
  readonly live: number
}

/** @param beginning is on its way, and is to be awaited together with the first of what follows it */
export type Prepare = (query: Query, beginning: Promise<unknown>) => Promise<Prepared>

/** The commit may have taken place, or may yet. */
export class InDoubt extends Error {
  override readonly name = 'InDoubt'
  readonly commit: number
  readonly outcome: Outcome

  constructor(commit: number, outcome: Outcome, cause: unknown) {
    super('the connection was lost during a commit', { cause })
    this.commit = commit
    this.outcome = outcome
  }
}

const begin = { name: 'begin', text: 'BEGIN ISOLATION LEVEL READ COMMITTED' }
const end = { name: 'commit', text: 'COMMIT' }
const takeBack = { name: 'rollback', text: 'ROLLBACK' }

/** @param commit its number among those of this process. @throws InDoubt @throws DatabaseFailure */
export async function transact(
  connection: Connection,
  sender: Sender,
  commit: number,
  prepare: Prepare,
): Promise<Outcome> {
  const { query } = connection
  const prepared = await prepare(query, query(begin)).catch(async (error: unknown) => {
    if (connection.isOpen()) await query(takeBack).catch(() => {})
    throw error
  })
  const { unit, ...rest } = prepared
  const outcome: Outcome = {
    ...rest,
    changes: unit.takeChanges(),
    voided: unit.voided(),
    counts: unit.counts,
    hasQueued: unit.hasQueued(),
  }
  if (!outcome.writes) {
    await query(end)
    return outcome
  }
  const live = sender.live + liveOf(outcome.counts)
  const { owner, channel } = sender
  const { leavesWork: hasWork, changes, voided } = outcome
  const messages = encodeNotice({ type: 'commit', from: owner, live, hasWork, changes, voided })
  const written = { jobs: unit.movedJobs(), runs: unit.changedRuns(), counts: unit.counts, owner, commit, channel }
  try {
    // Where the writing fails, the commit behind it takes everything back.
    await Promise.all([write(query, { ...written, messages }), query(end)])
  } catch (error) {
    if (isFailure(error, 'lost')) throw new InDoubt(commit, outcome, error)
    throw error
  }
  return outcome
}
