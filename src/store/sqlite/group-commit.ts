/**
 * Runs a group of operations: its writes in one transaction, then its reads. A failing disk rejects the writes of
 * the group; a failing operation rejects only itself.
 */
import type { RunChange } from '../../domain/run.ts'
import { createAccept } from './accept.ts'
import { createCancel } from './cancel.ts'
import { createClaim } from './claim.ts'
import { createLeave } from './leave.ts'
import { isRead, type Operation, type Reply, type Verb, type Verbs, type WriteVerb } from './messages.ts'
import { createDueTimes } from './due-times.ts'
import { createProbe } from './probe.ts'
import { createPrune } from './prune.ts'
import { createRead } from './read.ts'
import { createRemove } from './remove.ts'
import { createRescue } from './rescue.ts'
import { createRetry } from './retry.ts'
import type { Session } from './session.ts'
import { createSettle } from './settle.ts'
import { isUnavailable } from './sqlite-errors.ts'

/** They find the rows of unfinished runs in memory. */
const hotVerbs: ReadonlySet<Verb> = new Set<Verb>(['accept', 'claim', 'complete', 'fail', 'release', 'getRun'])

export interface Group {
  /** One per operation, in order. */
  readonly replies: readonly Reply[]
  /** What was committed, in order of commit. */
  readonly changes: readonly RunChange[]
}

export function createGroupCommit(session: Session): (operations: readonly Operation[]) => Group {
  const { database, tally, liveRuns, changes } = session
  const probe = createProbe(session)
  const writes: Verbs<WriteVerb> = {
    accept: createAccept(session),
    claim: createClaim(session),
    ...createSettle(session),
    defer: (runId) => session.keys.defer(runId),
    cancel: createCancel(session),
    retry: createRetry(session),
    remove: createRemove(session),
    leave: createLeave(session),
    rescue: createRescue(session),
    prune: createPrune(session),
    shiftDueTimes: createDueTimes(session).shift,
    checkWritable: probe.write,
  }
  const verbs: Verbs = { ...writes, ...createRead(session) }
  // Changes of this group's commits: where an operation failed, each of the others is a commit of its own.
  let told: RunChange[] = []

  function run({ verb, args }: Operation): unknown {
    // The engine's typed methods made the operation; the message between the threads has lost the pairing.
    const call = verbs[verb] as (...args: readonly unknown[]) => unknown
    // The others read the tables.
    if (!hotVerbs.has(verb)) liveRuns.flush()
    return call(...args)
  }

  function commit(operations: readonly Operation[]): Reply[] {
    try {
      database.exec('BEGIN IMMEDIATE')
      const replies = operations.map((operation): Reply => ({ ok: true, value: run(operation) }))
      liveRuns.flush()
      tally.save()
      database.exec('COMMIT')
      tally.keep()
      told.push(...changes.take())
      return replies
    } catch (error) {
      takeBack()
      if (isUnavailable(error)) overwriteFailed()
      if (isUnavailable(error) || operations.length === 1) return operations.map(() => failure(error))
      return operations.flatMap((operation) => commit([operation]))
    }
  }

  function takeBack(): void {
    // After some failures SQLite has rolled back by itself.
    if (database.isTransaction) database.exec('ROLLBACK')
    tally.revert()
    liveRuns.clear()
    changes.take()
  }

  /**
   * A commit that failed at its last step, the fsync, may stand whole in the log, and after a crash it would be found there
   * and taken for committed. What is written next takes its place, even where that fails in turn.
   */
  function overwriteFailed(): void {
    try {
      probe.overwrite()
    } catch {
      // As expected of a disk that fails.
    }
    if (database.isTransaction) database.exec('ROLLBACK')
  }

  function read(operation: Operation): Reply {
    try {
      return { ok: true, value: run(operation) }
    } catch (error) {
      return failure(error)
    }
  }

  return (operations) => {
    const writing = operations.filter(({ verb }) => !isRead(verb))
    const committed = writing.length === 0 ? [] : commit(writing)
    let next = 0
    const replies = operations.map((operation) => {
      if (isRead(operation.verb)) return read(operation)
      const reply = committed[next]
      next += 1
      if (reply === undefined) throw new Error('a write has no reply')
      return reply
    })
    const group = { replies, changes: told }
    told = []
    return group
  }
}

function failure(error: unknown): Reply {
  const message = error instanceof Error ? error.message : String(error)
  return { ok: false, code: isUnavailable(error) ? 'store-unavailable' : 'internal', message }
}
