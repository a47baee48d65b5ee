/** What groups of this engine are made of, and the verbs that move jobs: what each needs locked, and what it does then. */
import { isFinalJob } from '../../domain/job.ts'
import { cancelResultOf, failure, holds, isSuspect, loss, onRequest, release, retryOnRequest } from './moves.ts'
import type { Move } from './moves.ts'
import type { JobRow } from './rows.ts'
import type { RescueReport, RetryResult, Settled, Store } from '../store.ts'
import type { DueRequest } from './claim.ts'
import type { Targets } from './lock.ts'
import type { JobKey, Unit } from './unit.ts'

export type GroupVerb = 'accept' | 'complete' | 'fail' | 'release' | 'cancel' | 'retry' | 'getRun'

export type Operation =
  | { readonly [Verb in GroupVerb]: { readonly verb: Verb; readonly args: Parameters<Store[Verb]> } }[GroupVerb]
  | { readonly verb: 'claim'; readonly args: readonly [request: DueRequest] }

export type Admission = Extract<Operation, { readonly verb: 'accept' | 'claim' }>
export type Moving = Extract<Operation, { readonly verb: 'complete' | 'fail' | 'release' | 'cancel' | 'retry' }>
/** A read of a run, behind what was asked before of the same run in the same lane. */
export type ReadBehind = Extract<Operation, { readonly verb: 'getRun' }>
export type Settling = Moving | ReadBehind

export function isMoving(operation: Operation): operation is Moving {
  return ['complete', 'fail', 'release', 'cancel', 'retry'].includes(operation.verb)
}

/** Which run a settling operation is about. */
export function runIdOf({ args: [named] }: Settling): string {
  return typeof named === 'string' ? named : named.runId
}

export function targetsOf({ verb, args }: Moving): Targets {
  switch (verb) {
    case 'fail': {
      const [claim, , retryAt] = args
      return { jobs: [claim], ...(claim.jobIndex === 0 && retryAt === null && { firsts: [claim.runId] }) }
    }
    case 'complete':
    case 'release':
      return { jobs: [args[0]] }
    case 'cancel': {
      const [runId, jobIndex] = args
      return jobIndex === null ? { runs: [runId] } : { jobs: [{ runId, jobIndex }] }
    }
    case 'retry':
      return { jobs: [{ runId: args[0], jobIndex: args[1] }] }
  }
}

export function runMoving(unit: Unit, operation: Moving): unknown {
  const { verb, args } = operation
  switch (verb) {
    case 'complete': {
      const [claim, result, at] = args
      return settle(unit, claim, at, () => ({ to: 'completed', result }))
    }
    case 'fail': {
      const [claim, error, retryAt, at] = args
      return settle(unit, claim, at, (job) => failure(job, error, retryAt, at))
    }
    case 'release': {
      const [claim, at] = args
      return settle(unit, claim, at, (job) => release(job, at))
    }
    case 'cancel':
      return cancel(unit, ...args)
    case 'retry':
      return retry(unit, { runId: args[0], jobIndex: args[1] }, args[2])
  }
}

type Claimed = JobKey & { readonly claim: number }

function settle(unit: Unit, claim: Claimed, at: number, moveOf: (job: JobRow) => Move): Settled {
  const job = unit.job(claim)
  if (job === undefined || !holds(claim, job)) return 'stale'
  unit.move(job, moveOf(job), at)
  return 'settled'
}

function cancel(unit: Unit, runId: string, jobIndex: number | null, at: number) {
  const all = unit.jobsOf(runId)
  const named = jobIndex === null ? all : all.filter((job) => job.job_index === jobIndex)
  for (const job of named) if (!isFinalJob(job.state)) unit.move(job, onRequest, at)
  return cancelResultOf(named.map(({ state }) => state))
}

function retry(unit: Unit, key: JobKey, at: number): RetryResult {
  const job = unit.job(key)
  if (job === undefined) return 'not-found'
  if (job.state === 'completed') return 'was-completed'
  if (!isFinalJob(job.state)) return 'not-final'
  unit.move(job, retryOnRequest(at), at)
  return 'queued'
}

/**
 * Takes back the jobs of these claims, whose processes are gone, where they still run under them: another process may
 * have taken them back, and a first job that crashes may cancel the others of its run.
 * @param suspects that were waiting before
 */
export function rescue(
  unit: Unit,
  abandoned: readonly Claimed[],
  suspects: readonly JobKey[],
  at: number,
): RescueReport {
  const report = { requeued: 0, crashed: 0, suspects: 0 }
  for (const claim of abandoned) {
    const job = unit.job(claim)
    if (job === undefined || !holds(claim, job)) continue
    const move = loss(job)
    unit.move(job, move, at)
    if (move.to === 'failed') report.crashed += 1
    else report.requeued += 1
    const after = unit.job(claim)
    if (after?.state === 'queued' && isSuspect(after)) report.suspects += 1
  }
  report.suspects += suspects.filter((key) => !isFinalJob(unit.job(key)?.state ?? 'queued')).length
  return report
}
