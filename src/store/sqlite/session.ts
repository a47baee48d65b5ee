/** What the verbs of this engine share: the connection, the totals, and the changes of the transaction under way. */
import type { DatabaseSync } from 'node:sqlite'
import type { Changes } from '../changes.ts'
import type { IdempotencyKeys } from './idempotency.ts'
import type { LiveRuns } from './live-runs.ts'
import type { Priorities } from './priorities.ts'
import type { Tally } from './tally.ts'
import type { UnknownTasks } from './unknown-tasks.ts'

export interface Session {
  readonly database: DatabaseSync
  readonly tally: Tally
  readonly priorities: Priorities
  readonly liveRuns: LiveRuns
  readonly keys: IdempotencyKeys
  readonly unknownTasks: UnknownTasks
  readonly changes: Changes
  /** Names this process in the rows of the jobs that it runs. */
  readonly owner: string
}
