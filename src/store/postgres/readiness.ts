/**
 * Whether this process can commit now: it has lately, or it tries, through each connection that writes. After a failure
 * it is given up for a while, because what a probe writes is small and may succeed where a run does not.
 */
import { AppError } from '../../domain/errors.ts'
import type { Query } from './connection.ts'
import type { Lane } from './lane.ts'
import type { Limits } from './limits.ts'
import { committed, nothingDone, OutOfStep, rowOf, type Commit } from './transaction.ts'

export interface Readiness {
  /** @throws AppError `store-unavailable` */
  probe(lanes: readonly Pick<Lane<never>, 'askAlone'>[]): Promise<void>
  /** A commit has failed, and the database is to blame. */
  noteFailure(error: unknown): void
  /** A transaction of the lane has ended well. @param commits what the lane's row says of its commits */
  noteCommitted(lane: string, commits: number): void
}

const touch = {
  name: 'touch',
  text: `
    WITH own AS (UPDATE tally SET commits = $3 WHERE owner = $1 AND commits = $2 RETURNING 1)
    SELECT bool_and(has_table_privilege(name, privilege)) AS may_write
    FROM own, unnest(ARRAY['run', 'job', 'run_tag', 'run_task', 'idempotency_key', 'tally']) AS name,
      unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    HAVING count(*) > 0`,
}

/** Writes what a commit of the lane writes at least. */
const commitTouch: Commit<null> = async ({ query }, sender) => {
  const outcome = { ...nothingDone, values: [null], commits: sender.number, live: sender.live }
  const find = async (_ask: Query) => outcome
  const [row] = await committed(query(touch, [rowOf(sender), sender.commits, sender.number]), sender, find)
  if (row === undefined) throw new OutOfStep()
  const refusal = new AppError('store-unavailable', 'the role may not write all tables')
  return row['may_write'] === true ? outcome : { ...outcome, values: [refusal] }
}

/** What was committed is as good as a probe for one round. */
export function createReadiness({ roundMs, unreadyMs }: Pick<Limits, 'roundMs' | 'unreadyMs'>): Readiness {
  const lastCommits = new Map<string, number>()
  let writtenAt = -Infinity
  let failure: { readonly error: unknown; readonly at: number } | null = null
  let probing: Promise<unknown> | null = null

  const noteFailure = (error: unknown): void => void (failure = { error, at: performance.now() })

  return {
    async probe(lanes) {
      const now = performance.now()
      if (failure !== null && now - failure.at < unreadyMs) {
        throw new AppError('store-unavailable', 'a commit has failed a moment ago', { cause: failure.error })
      }
      if (now - writtenAt < roundMs) return
      probing ??= Promise.all(lanes.map((lane) => lane.askAlone(commitTouch))).finally(() => (probing = null))
      await probing.catch((error: unknown) => {
        noteFailure(error)
        throw error
      })
    },
    noteFailure,
    noteCommitted(lane, commits) {
      if (lastCommits.get(lane) === commits) return
      lastCommits.set(lane, commits)
      writtenAt = performance.now()
    },
  }
}
