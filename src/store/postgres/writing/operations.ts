/** Operations: each is one call of a verb, names the runs that it needs, and changes them in its transaction. */
import type { Claim, ClaimedJob, Step, StepReport } from '../../../domain/claim.ts'
import type { JobError } from '../../../domain/job.ts'
import type { Run } from '../../../domain/run/aggregate.ts'
import { acceptRun, type NewRun, refuseRun } from '../../../domain/run/new-run.ts'
import { claimedJob } from '../../../domain/run/transitions.ts'
import { cancel, complete, type VerbResult, fail, keepStep, release, retry } from '../../../domain/run/verbs.ts'
import type { AcceptReport, KnownKey, RemoveResult } from '../../store.ts'
import { createRemovalBound } from '../../apart.ts'
import { maxUnsentMs } from '../../claim-requests.ts'
import type { Query } from '../connection/connection.ts'
import type { Acceptance } from '../statements/idempotency-keys.ts'
import { isNone, type RecordDecoder } from '../statements/records.ts'
import type { Stored, UnitOfWork } from './unit-of-work.ts'

/** What an operation receives beside its runs. */
export interface Context {
  /** Number of this process. */
  readonly processId: number
  /** By run id, the replies to runs that are not accepted: another run has the key, or was made of the same request. */
  readonly replayed: ReadonlyMap<string, KnownKey>
  /** Whether the operation was sent before, and may have been committed then. */
  readonly isRepeat: boolean
  /** Reports a job that was claimed for this process. */
  addClaimed(job: ClaimedJob): void
  /** Calls the effect after the commit. */
  onCommitted(effect: () => void): void
}

/** Changes the runs of the unit of work. Returns the reply; a returned error rejects the operation. */
type Apply = (unit: UnitOfWork, context: Context) => unknown

/** What a lookup has found: further runs, which it has locked, and how they are changed. */
export interface LookupResult {
  readonly records: readonly Stored[]
  readonly apply: Apply
}

/** Finds in the transaction what an operation cannot name in advance. */
export type Lookup = (query: Query) => Promise<LookupResult>

export interface Operation {
  readonly verb: string
  /** Runs to load. */
  readonly runIds: readonly string[]
  /** The run to accept. */
  readonly accepts?: Acceptance
  /** The claim that ends with the operation, even if the operation finds it void. */
  readonly settles?: Claim
  /** Characters of the texts to write, if they can be many. */
  readonly length?: number
  /** Called once per transaction; null if no lookup is needed. */
  readonly lookup?: () => Lookup | null
  /** Called unless a lookup has returned another function. */
  readonly apply: Apply
}

/** An operation that always needs its lookup. */
export function withLookup(verb: string, lookup: Lookup, accepts?: Acceptance): Operation {
  const apply = (): never => {
    throw new Error(`${verb} was applied without its lookup`)
  }
  return { verb, runIds: [], ...(accepts && { accepts }), lookup: () => lookup, apply }
}

/** An operation that changes one run. */
function change<Value>(
  verb: string,
  runId: string,
  changeRun: (run: Run | null, context: Context) => VerbResult<Value>,
  members: Pick<Operation, 'settles' | 'length'> = {},
): Operation {
  return {
    verb,
    runIds: [runId],
    ...members,
    apply(unit, context) {
      const { run, value } = changeRun(unit.find(runId), context)
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
      apply(unit, { processId, replayed, isRepeat, addClaimed }): AcceptReport {
        const replay = replayed.get(run.id)
        if (replay !== undefined) return replay
        const stored = isRepeat ? unit.find(run.id) : null
        const accepted = stored ?? acceptRun(run, at, processId)
        if (stored === null) {
          unit.add(accepted)
          if (run.refusal !== undefined) unit.save(refuseRun(accepted, run.refusal, at))
        }
        const [first] = accepted.jobs
        // On a repeat, the job may have been settled or rescued since.
        const isClaimed = run.claimsFirst && first?.state === 'running' && first.holder === processId
        if (!isClaimed) return { result: 'accepted', first: null }
        const job = claimedJob(accepted, 0, { input: run.jobs[0]?.input ?? null })
        addClaimed(job)
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

// Skips runs that another process is removing, and for some time runs with deliveries that were not sent.
const lockFinished = {
  name: 'lock-finished',
  text: `
    SELECT id, version, revision, record FROM record WHERE finished_at < $1 AND ${isNone('id', '$3')}
      AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.run = record.id AND delivery.next_at > $1 - ${maxUnsentMs})
    ORDER BY finished_at LIMIT $2 FOR UPDATE SKIP LOCKED`,
}

/** Removes the runs that ended first. Replies how many. */
export function pruneRuns(finishedBefore: number, limit: number, decoder: RecordDecoder): Operation {
  return withLookup('prune', async (query) => {
    for (;;) {
      const unreadable = decoder.unreadable()
      const records = decoder.decode(await query(lockFinished, [finishedBefore, limit, unreadable]))
      // Looks again while it finds only unreadable records that it did not know.
      if (records.length > 0 || decoder.unreadable().length <= unreadable.length) return { records, apply: removeSome }
    }
  })
}

/** Removes as many of the runs as one commit may remove. */
function removeSome(unit: UnitOfWork): number {
  const mayRemove = createRemovalBound()
  let removed = 0
  for (const run of unit.loaded()) {
    if (!mayRemove(run)) break
    unit.remove(run)
    removed += 1
  }
  return removed
}
