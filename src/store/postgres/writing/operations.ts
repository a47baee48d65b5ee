/** The operations of a transaction: each names the runs that a verb needs, and changes them. */
import type { Claim, ClaimedJob, Step, StepReport } from '../../../domain/claim.ts'
import type { JobError } from '../../../domain/job.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import { acceptRun, type NewRun, refuseRun } from '../../../domain/run/new-run.ts'
import { claimedJob } from '../../../domain/run/transitions.ts'
import { cancel, complete, type Done, fail, keepStep, release, retry } from '../../../domain/run/verbs.ts'
import type { AcceptReport, KnownKey, RemoveResult } from '../../store.ts'
import { createRemovalBound } from '../../apart.ts'
import { maxUnsentMs } from '../../claim-requests.ts'
import type { Query } from '../connection/connection.ts'
import { isNone, type Readable } from '../statements/records.ts'
import type { Stored, UnitOfWork } from './unit-of-work.ts'

/** What a verb receives besides its runs. */
export interface Context {
  /** Number of this process. */
  readonly process: number
  /** Replies to runs whose key another run has, by run id. */
  readonly known: ReadonlyMap<string, KnownKey>
  /** Whether an earlier attempt may have been committed. */
  readonly isRepeat: boolean
  /** Gives the caller the right to run the job. */
  give(job: ClaimedJob): void
  /** Calls back after the commit. */
  onCommitted(effect: () => void): void
}

/** Changes the runs of the unit of work; returns the reply, where an error rejects. */
type Apply = (unit: UnitOfWork, context: Context) => unknown

/** Further runs of an operation, which its transaction has locked, and what it makes of them. */
export interface Found {
  readonly records: readonly Stored[]
  readonly apply: Apply
}

export type Look = (query: Query) => Promise<Found>

export interface Operation {
  readonly verb: string
  /** Runs to load, as far as they are known in advance. */
  readonly runIds: readonly string[]
  /** The run that is to be accepted. */
  readonly accepts?: { readonly run: NewRun; readonly at: number }
  /** The claim that ends with the operation, whatever the outcome. */
  readonly settles?: Claim
  /** Characters of the texts that it writes, where they can be many. */
  readonly length?: number
  /** Called once per transaction: how it finds further runs; null if there is nothing to look for. */
  readonly look?: () => Look | null
  /** Without a look. */
  readonly apply: Apply
}

/** An operation that finds its runs by itself. */
export function lookingFor(verb: string, look: Look, members: Pick<Operation, 'accepts'> = {}): Operation {
  const apply = (): never => {
    throw new Error(`${verb} was applied without its look`)
  }
  return { verb, runIds: [], ...members, look: () => look, apply }
}

function change<Value>(
  verb: string,
  runId: string,
  of: (run: Run | null, context: Context) => Done<Value>,
  members: Pick<Operation, 'settles' | 'length'> = {},
): Operation {
  return {
    verb,
    runIds: [runId],
    ...members,
    apply(unit, context) {
      const { run, value } = of(unit.find(runId), context)
      if (run !== null) unit.save(run)
      return value
    },
  }
}

export const operations = {
  accept(run: NewRun, at: number): Operation {
    return {
      verb: 'accept',
      runIds: [],
      accepts: { run, at },
      length: run.jobs.reduce((sum, { input }) => sum + (input?.length ?? 0), 0),
      apply(unit, { process, known, isRepeat, give }): AcceptReport {
        const report = known.get(run.id)
        if (report !== undefined) return report
        const stored = isRepeat ? unit.find(run.id) : null
        const accepted = stored ?? acceptRun(run, at, process)
        if (stored === null) {
          unit.add(accepted)
          if (run.refusal !== undefined) unit.save(refuseRun(accepted, run.refusal, at))
        }
        const [first] = accepted.jobs
        // On a repeat it may have been settled or rescued since.
        const isClaimed = run.claimsFirst && first?.state === 'running' && first.holder === process
        if (!isClaimed) return { result: 'accepted', first: null }
        const job = claimedJob(accepted, 0, run.jobs[0]?.input ?? null, at, at)
        give(job)
        return { result: 'accepted', first: job }
      },
    }
  },
  complete: (claim: Claim, result: string, at: number): Operation =>
    change('complete', claim.runId, (run) => complete(run, claim, result, at), {
      settles: claim,
      length: result.length,
    }),
  fail: (claim: Claim, error: JobError, retryAt: number | null, at: number): Operation =>
    change('fail', claim.runId, (run) => fail(run, claim, error, retryAt, at), { settles: claim }),
  release: (claim: Claim, at: number): Operation =>
    change('release', claim.runId, (run) => release(run, claim, at), { settles: claim }),
  keepStep: (claim: Claim, step: Step, at: number): Operation => ({
    verb: 'keepStep',
    runIds: [claim.runId],
    length: step.value.length,
    apply(unit): StepReport {
      const { run, value } = keepStep(unit.find(claim.runId), claim, step)
      if (run !== null && value === 'kept') {
        unit.save(run)
        unit.addStep(claim, step, at)
      }
      return value
    },
  }),
  cancel: (runId: string, jobIndex: number | null, at: number): Operation =>
    change('cancel', runId, (run, { isRepeat }) => {
      const done = cancel(run, jobIndex, at)
      const wasNow = run?.jobs.some(({ state, finishedAt }) => state === 'cancelled' && finishedAt === at) === true
      return isRepeat && wasNow ? { ...done, value: 'cancelled' } : done
    }),
  retry: (runId: string, jobIndex: number, at: number): Operation =>
    change('retry', runId, (run, { isRepeat }) => {
      const done = retry(run, jobIndex, at)
      const wasNow = run?.jobs[jobIndex]?.queuedAt === at
      return isRepeat && wasNow && done.value === 'not-final' ? { ...done, value: 'queued' } : done
    }),
  remove(runId: string): Operation {
    return {
      verb: 'remove',
      runIds: [runId],
      apply(unit, { isRepeat }): RemoveResult {
        const run = unit.find(runId)
        // On a repeat, a missing run was removed by the first attempt.
        if (run === null) return isRepeat ? 'removed' : 'not-found'
        if (run.state === 'running') return 'active'
        unit.remove(run)
        return 'removed'
      },
    }
  },
}

// Skips runs that another process removes at the same time.
const lockFinished = {
  name: 'lock-finished',
  text: `
    SELECT id, version, revision, record FROM record WHERE finished_at < $1 AND ${isNone('id', '$3')}
      AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.run = record.id AND delivery.next_at > $1 - ${maxUnsentMs})
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
}

/** Removes the runs that ended first; replies how many. */
export function pruneRuns(finishedBefore: number, limit: number, readable: Readable): Operation {
  return lookingFor('prune', async (query) => {
    for (;;) {
      const unreadable = readable.unreadable()
      const records = readable.decode(await query(lockFinished, [finishedBefore, limit, unreadable]))
      // If none of them can be read, others follow, unless there are more unreadable ones than are remembered.
      if (records.length > 0 || readable.unreadable().length <= unreadable.length) return { records, apply: removeSome }
    }
  })
}

function removeSome(unit: UnitOfWork): number {
  const mayRemove = createRemovalBound()
  let pruned = 0
  for (const run of unit.loaded()) {
    if (!mayRemove(run)) break
    pruned += 1
    unit.remove(run)
  }
  return pruned
}
