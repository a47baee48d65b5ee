/**
 * What a transaction of a lane is, whatever it does: numbered, so that it can be found out whether it took place where
 * the connection is lost while its commit is under way; and of which outcome.
 */
import type { Claim, ClaimedJob } from '../../domain/claim.ts'
import type { RunChange } from '../../domain/run.ts'
import type { Connection, Query } from './connection.ts'
import { isFailure } from './failure.ts'

/** From which lane of which process, and how far that is. */
export interface Sender {
  readonly owner: string
  readonly lane: string
  readonly channel: string
  /** What its row says of its commits, and what the next one of them makes of that. */
  readonly commits: number
  readonly number: number
  /** Jobs that are not final which this lane has added so far; less than 0 when it has ended others'. */
  readonly live: number
}

/** The name of the row in tally that the lane alone writes. */
export function rowOf({ owner, lane }: Pick<Sender, 'owner' | 'lane'>): string {
  return `${owner} ${lane}`
}

/** What a transaction does to the world when it is committed. */
export interface Outcome {
  /** What each operation returns; an error is what it throws. */
  readonly values: readonly unknown[]
  /** The right to run these goes to whoever asked. */
  readonly given: readonly ClaimedJob[]
  readonly changes: readonly RunChange[]
  /** The claims of jobs that were running and are cancelled. */
  readonly voided: readonly Claim[]
  /** Of the sender, with this one: its number, where anything was written. */
  readonly commits: number
  readonly live: number
  /** Whether jobs wait now that did not before: `due` ones can be claimed. */
  readonly waiting: 'none' | 'later' | 'due'
  /** Whether jobs wait of which the commit itself has told no other process. */
  readonly leaves: 'none' | 'later' | 'due'
  /** Whether it may have given rights of which nobody here knows. */
  readonly hasOrphans: boolean
}

export const nothingDone = {
  values: [],
  given: [],
  changes: [],
  voided: [],
  waiting: 'none',
  leaves: 'none',
  hasOrphans: false,
} as const satisfies Partial<Outcome>

/** Runs a transaction. @throws InDoubt @throws OutOfStep @throws DatabaseFailure */
export type Commit<Asked> = (connection: Connection, sender: Sender, asked: Asked) => Promise<Outcome>

/** The commit may have taken place, or may yet. */
export class InDoubt extends Error {
  override readonly name = 'InDoubt'
  readonly number: number
  /** What it has done, should it have taken place. @throws DatabaseFailure */
  readonly find: (query: Query) => Promise<Outcome>

  constructor(number: number, find: (query: Query) => Promise<Outcome>, cause: unknown) {
    super('the connection was lost during a commit', { cause })
    this.number = number
    this.find = find
  }
}

/** The lane's row is gone, or not as the lane has left it: nothing was written. */
export class OutOfStep extends Error {
  override readonly name = 'OutOfStep'

  constructor() {
    super('the totals of this process are not as it has left them')
  }
}

/** The answer to what is on its way together with its commit. @throws InDoubt @throws DatabaseFailure */
export async function committed<Value>(
  sent: Promise<Value>,
  { number }: Sender,
  find: (query: Query) => Promise<Outcome>,
): Promise<Value> {
  try {
    return await sent
  } catch (error) {
    if (isFailure(error, 'lost')) throw new InDoubt(number, find, error)
    throw error
  }
}

const selectOwn = {
  name: 'fence',
  text: 'SELECT 1 FROM tally WHERE owner = $1 AND commits = $2 FOR UPDATE',
}

/**
 * As SQL has it: the lane's own row, locked before anything is written, where it is as the last commit left it. What is
 * written is joined with it. `$1` is the row's name, `$2` what it says of its commits.
 * @param condition for anything to be written at all, which does not read the row
 */
export function ownRow(condition = 'true'): string {
  return `own AS MATERIALIZED (
      SELECT accepted - final AS live FROM tally WHERE owner = $1 AND commits = $2 AND ${condition} FOR UPDATE)`
}

/** The same, for a transaction of several trips; to be answered before its commit is on its way. */
export async function fence(query: Query, sender: Sender): Promise<void> {
  if ((await query(selectOwn, [rowOf(sender), sender.commits])).length === 0) throw new OutOfStep()
}
