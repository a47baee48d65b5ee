/**
 * The store's protocol as a model in memory: what each verb may reply, and what it makes of the runs. It shares types
 * with the store and no rule, so that a mistake in a rule cannot be in both.
 */
import type { Claim, Step, StepReport } from '../../src/domain/claim.ts'
import type { JobError, JobState } from '../../src/domain/job.ts'
import type { NewRun } from '../../src/domain/run/new-run.ts'
import type { CancelResult, RetryResult } from '../../src/domain/run/verbs.ts'
import type { AcceptReport, RemoveResult, ScheduleChange } from '../../src/store/store.ts'
import { says, wasLost, type Call, type Reply } from './calls.ts'
import { claimJobs } from './claiming.ts'
import {
  allowedLosses,
  isExpired,
  isFinal,
  isSuspect,
  missingOf,
  stateOf,
  type Model,
  type ModelJob,
  type ModelRun,
} from './state.ts'
import { cancelJobs, end, fail, follow, take, wait } from './transitions.ts'

const dayMs = 86_400_000

/**
 * Changes the model as the call does.
 * @param isExact whether a claim takes all that it may take; else it may leave some
 * @returns null, or why the reply is wrong
 */
export function apply(model: Model, call: Call, reply: Reply, isExact: boolean): string | null {
  switch (call.verb) {
    case 'accept':
      return accept(model, call.by, ...call.args, reply)
    case 'claim':
      return claimJobs(model, call.by, ...call.args, reply, isExact)
    case 'complete': {
      const [held, result, at] = call.args
      return settle(model, held, reply, isCompleted, (run, job) => end(model, run, job, 'completed', at, { result }))
    }
    case 'fail': {
      const [held, error, retryAt, at] = call.args
      return settle(model, held, reply, hasFailed, (run, job) => fail(model, run, job, error, retryAt, at))
    }
    case 'release':
      return settle(model, call.args[0], reply, isHandedBack, (run, job) => {
        wait(run, job, { runAt: call.args[1], attempt: job.attempt - 1 })
      })
    case 'keepStep':
      return says(reply, keepStep(model, ...call.args))
    case 'expire':
      return says(reply, expire(model, call.args[0]))
    case 'defer':
      for (const key of model.keys.values()) key.isDeferred ||= key.runId === call.args[0]
      return says(reply, undefined)
    case 'cancel':
      return says(reply, cancel(model, ...call.args))
    case 'retry':
      return says(reply, retry(model, ...call.args))
    case 'remove':
      return says(reply, remove(model, call.args[0]))
    case 'rescue':
      return says(reply, rescue(model, call.args[0]))
    case 'prune':
      return says(reply, prune(model, ...call.args))
    case 'setPaused':
      if (call.args[1]) model.paused.add(call.args[0])
      else model.paused.delete(call.args[0])
      return says(reply, undefined)
    case 'changeSchedule':
      return changeSchedule(model, call.by, ...call.args, reply)
  }
}

function accept(model: Model, by: number, given: NewRun, at: number, reply: Reply): string | null {
  const { id, idempotency, jobs } = given
  const name = JSON.stringify([idempotency?.scope, idempotency?.key])
  const known = idempotency === null ? undefined : model.keys.get(name)
  if (idempotency !== null && known !== undefined && at - known.claimedAt < dayMs) {
    const { runId, isDeferred, bodyDigest } = known
    const isSame = bodyDigest === idempotency.bodyDigest
    return says(reply, isSame ? { result: 'replayed', runId, isDeferred } : { result: 'reused', runId })
  }
  if (model.runs.has(id)) return wasLost(reply) || 'rejected' in reply ? null : 'the id was accepted before'
  // PostgreSQL looks for pauses in the commit; with SQLite, only its callers do.
  const wasPaused = !wasLost(reply) && 'rejected' in reply && reply.rejected === 'task-paused'
  if (wasPaused && given.claimsFirst && model.paused.has(jobs[0]?.task ?? '')) return null
  if (idempotency !== null) {
    const { bodyDigest, isDeferred } = idempotency
    model.keys.set(name, { runId: id, bodyDigest, isDeferred, claimedAt: at })
  }
  const started = { attempt: 0, lostStarts: 0, lostStart: null, claim: 0, holder: null, thread: null, startedAt: null }
  const ended = {
    finishedAt: null,
    result: null,
    error: null,
    failures: [],
    steps: [],
    cancelledBy: null,
    queuedClaim: 0,
  }
  const waiting = jobs.map((job, index): ModelJob => {
    const waits = (job.after ?? []).length > 0
    const due = waits
      ? ({ state: 'blocked', runAt: null } as const)
      : ({ state: 'queued', runAt: at + job.delayMs } as const)
    return { index, given: job, ...due, queuedAt: at, ...started, ...ended }
  })
  const unended = { answer: null, respondedAt: null, finishedAt: null, ends: [] }
  const run: ModelRun = { given, jobs: waiting, ...unended, version: 0, changes: 0 }
  model.runs.set(id, run)
  model.accepted += jobs.length
  const [first] = waiting
  if (!given.claimsFirst || first === undefined) return says(reply, { result: 'accepted', first: null })
  if (wasLost(reply)) return take(model, run, first, by, at, null, 'main')
  const report = 'value' in reply ? (reply.value as AcceptReport) : null
  if (report?.result !== 'accepted' || report.first === null) return 'the first job was not claimed'
  return take(model, run, first, by, at, report.first, 'main')
}

function changeSchedule(model: Model, by: number, change: ScheduleChange, at: number, reply: Reply): string | null {
  const { name, from, to, run } = change
  if ((model.schedules.get(name) ?? null) !== from || (from === null && to === null)) return says(reply, 'outdated')
  if (to === null) model.schedules.delete(name)
  else model.schedules.set(name, to.revision)
  const wrong = run && accept(model, by, run, at, 'lost')
  return wrong ?? says(reply, 'changed')
}

const isCompleted = ({ state }: ModelJob): boolean => state === 'completed'
const isHandedBack = ({ state }: ModelJob): boolean => state === 'queued'
/** Not by a rescue, after too many lost starts. */
const hasFailed = (job: ModelJob): boolean =>
  job.state === 'retrying' || (job.state === 'failed' && job.lostStarts < allowedLosses(job))

/** @param isDone whether the job is as the outcome leaves it: asked for again under the last claim, it is settled */
function settle(
  model: Model,
  { runId, jobIndex, claim: number }: Claim,
  reply: Reply,
  isDone: (job: ModelJob) => boolean,
  change: (run: ModelRun, job: ModelJob) => void,
): string | null {
  const run = model.runs.get(runId)
  const job = run?.jobs[jobIndex]
  if (run === undefined || job === undefined || job.claim !== number || job.state !== 'running') {
    return says(reply, job?.claim === number && isDone(job) ? 'settled' : 'stale')
  }
  change(run, job)
  return says(reply, 'settled')
}

function keepStep(model: Model, { runId, jobIndex, claim }: Claim, step: Step, at: number): StepReport {
  const run = model.runs.get(runId)
  const job = run?.jobs[jobIndex]
  if (run === undefined || job?.claim !== claim || job.state !== 'running') return 'stale'
  job.steps = [...job.steps, { ...step, finishedAt: at }]
  run.changes += 1
  return 'kept'
}

const expired: JobError = { code: 'expired', message: '' }

/** Of how many runs a job has expired. */
function expire(model: Model, at: number): number {
  const runs = [...model.runs.values()].filter(({ jobs }) => jobs.some((job) => isExpired(job, at)))
  for (const run of runs) {
    for (const job of run.jobs) if (isExpired(job, at)) end(model, run, job, 'failed', at, { error: expired })
  }
  return runs.length
}

const crashed: JobError = { code: 'crashed', message: '' }

function cancel(model: Model, runId: string, jobIndex: number | null, at: number): CancelResult {
  const run = model.runs.get(runId)
  const named = run?.jobs.filter(({ index }) => index === (jobIndex ?? index)) ?? []
  if (run === undefined || named.length === 0) return 'not-found'
  if (named.every(isFinal)) {
    const has = (state: JobState): boolean => named.some((job) => job.state === state)
    return has('cancelled') && !has('failed') ? 'was-cancelled' : 'was-final'
  }
  cancelJobs(model, run, named, at)
  return 'cancelled'
}

function retry(model: Model, runId: string, jobIndex: number, at: number): RetryResult {
  const run = model.runs.get(runId)
  const job = run?.jobs[jobIndex]
  if (run === undefined || job === undefined) return 'not-found'
  if (job.state === 'completed') return 'was-completed'
  if (!isFinal(job)) return 'not-final'
  const needs = job.given.after ?? []
  if (needs.some((other) => ['failed', 'cancelled'].includes(run.jobs[other]?.state ?? ''))) return 'cannot-start'
  const fresh = { queuedAt: at, attempt: 0, lostStarts: 0, steps: [], cancelledBy: null, queuedClaim: job.claim }
  if (missingOf(run, job).length > 0) wait(run, job, { ...fresh, state: 'blocked', runAt: null })
  else wait(run, job, { ...fresh, runAt: at })
  model.final -= 1
  follow(model, run, at)
  return 'queued'
}

function remove(model: Model, runId: string): RemoveResult {
  const run = model.runs.get(runId)
  if (run === undefined) return 'not-found'
  if (stateOf(run) === 'running') return 'active'
  model.runs.delete(runId)
  for (const [name, key] of model.keys) if (key.runId === runId) model.keys.delete(name)
  return 'removed'
}

function rescue(model: Model, at: number) {
  const counts = { requeued: 0, crashed: 0, suspects: 0 }
  for (const run of model.runs.values()) {
    for (const job of run.jobs) {
      if (job.holder === null || model.alive.includes(job.holder)) continue
      const lostStart = { startedAt: job.startedAt ?? at, takenBackAt: at }
      const lost = { attempt: job.attempt - 1, lostStarts: job.lostStarts + 1, lostStart }
      if (lost.lostStarts < allowedLosses(job)) {
        wait(run, job, { ...lost, runAt: job.queuedAt })
        counts.requeued += 1
      } else {
        end(model, run, job, 'failed', at, { ...lost, error: crashed })
        counts.crashed += 1
      }
    }
  }
  for (const run of model.runs.values()) {
    counts.suspects += run.jobs.filter((job) => job.runAt !== null && isSuspect(job)).length
  }
  return counts
}

/** Nobody sends a delivery here: a run is kept for its sake for another day. */
function isToBeSent({ given: { webhook }, ends }: ModelRun, finishedBefore: number): boolean {
  return typeof webhook === 'string' && ends.some((at) => at > finishedBefore - dayMs)
}

/** As many as there are: which go first is another test's. */
function prune(model: Model, finishedBefore: number, _limit: number, at: number): number {
  const old = [...model.runs.values()].filter(
    (run) => run.finishedAt !== null && run.finishedAt < finishedBefore && !isToBeSent(run, finishedBefore),
  )
  for (const { given } of old) remove(model, given.id)
  const over = [...model.keys].filter(([, { claimedAt }]) => at - claimedAt >= dayMs)
  for (const [name] of over) model.keys.delete(name)
  return old.length + over.length
}
