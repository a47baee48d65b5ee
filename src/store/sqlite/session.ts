/** What the verbs of this engine share: the connection, the totals, and the changes of the transaction under way. */
import type { DatabaseSync } from 'node:sqlite'
import type { RunChange } from '../../domain/run.ts'
import type { Priorities } from './priorities.ts'
import type { Tally } from './tally.ts'

export interface Session {
  readonly database: DatabaseSync
  readonly tally: Tally
  readonly priorities: Priorities
  /** The latest change of each run that this transaction touched, by run id. */
  readonly changes: Map<string, RunChange>
  /** Names this process in the rows of the jobs that it runs. */
  readonly owner: string
}
