/** How the model moves a job: into a claim, back to those that wait, or to its end, and what that makes of its run. */
import { isDeepStrictEqual } from 'node:util'
import type { Answer } from '../../src/domain/run.ts'
import type { ClaimedJob } from '../../src/domain/claim.ts'
import type { JobError, JobState } from '../../src/domain/job.ts'
import { isFinal, type Model, type ModelJob, type ModelRun } from './state.ts'

/** @param taken as the store says; null where nobody has heard it */
export function take(
  model: Model,
  { given: { id: runId }, jobs }: ModelRun,
  job: ModelJob,
  by: number,
  at: number,
  taken: ClaimedJob | null,
  thread: string,
): string | null {
  const { task, kind, input, timeoutMs, maxAttempts } = job.given
  const { index: jobIndex, lostStarts } = job
  const number = taken?.claim ?? job.claim + 1
  const waitedMs = at - (job.runAt ?? at)
  const given = {
    runId,
    jobIndex,
    claim: number,
    task,
    kind,
    input,
    thread,
    timeoutMs,
    maxAttempts,
    lostStarts,
    waitedMs,
    ...(jobs.some((other) => other.given.after?.includes(jobIndex)) && { isAwaited: true }),
    ...(job.steps.length > 0 && { steps: job.steps.length }),
    ...((job.given.after ?? []).length > 0 && { after: job.given.after?.map((other) => jobs[other]?.result) }),
  }
  const expected = { ...given, attempt: job.attempt + 1 }
  if (taken !== null && !isDeepStrictEqual(taken, expected)) return `it claims ${show(taken)}, not ${show(expected)}`
  if (number <= job.claim) return `the claim's number ${number} has not grown from ${job.claim}`
  const held = {
    state: 'running',
    holder: by,
    claim: number,
    thread,
    startedAt: at,
    runAt: null,
  } as const
  Object.assign(job, { ...held, attempt: job.attempt + 1 })
  if (taken !== null) model.given.push({ claim: { runId, jobIndex, claim: number }, holder: by })
  return null
}

export function fail(
  model: Model,
  run: ModelRun,
  job: ModelJob,
  error: JobError,
  retryAt: number | null,
  at: number,
): void {
  job.failures = [...job.failures, { attempt: job.attempt, startedAt: job.startedAt ?? at, finishedAt: at, error }]
  if (retryAt === null) return end(model, run, job, 'failed', at, { error })
  Object.assign(job, { state: 'retrying', holder: null, runAt: retryAt })
  run.changes += 1
}

export function wait(run: ModelRun, job: ModelJob, members: Partial<ModelJob>): void {
  const fresh = { holder: null, thread: null, startedAt: null, finishedAt: null, error: null }
  Object.assign(job, { state: 'queued', ...fresh, ...members })
  run.finishedAt = null
  run.changes += 1
}

type Ending = [model: Model, run: ModelRun, job: ModelJob, state: JobState, at: number, members: Partial<ModelJob>]

/** With all that follows for the others. */
export function end(...ending: Ending): void {
  const [model, run, job, state, at] = ending
  endOne(...ending)
  follow(model, run, at)
  if (state === 'failed' && job.index === 0 && run.given.onFirstFailure === 'cancel')
    cancelJobs(model, run, run.jobs, at)
}

function endOne(...[model, run, job, state, at, members]: Ending): void {
  if (state === 'cancelled' && job.state === 'running' && job.holder !== null) {
    model.voids.push({ claim: { runId: run.given.id, jobIndex: job.index, claim: job.claim }, holder: job.holder })
  }
  Object.assign(job, { state, holder: null, finishedAt: at, runAt: null, ...members })
  model.final += 1
  run.changes += 1
  run.answer ??= answerOf(run, job)
  if (run.answer !== null) run.respondedAt ??= at
  if (!run.jobs.every(isFinal)) return
  run.finishedAt = at
  run.ends.push(at)
}

function answerOf({ given: { respond }, jobs }: ModelRun, job: ModelJob): Answer | null {
  const status = job.error?.status ?? 500
  const own = { mode: respond, jobIndex: job.index, status: status >= 400 && status <= 499 ? status : 500 }
  const ofJob = job.state === 'completed' ? { ...own, status: 200 } : own
  const isOver = jobs.every(isFinal)
  switch (respond) {
    case 'first':
      return job.index === 0 ? ofJob : null
    case 'race':
      return ofJob
    case 'any':
      if (job.state === 'completed') return ofJob
      return isOver ? { mode: respond, jobIndex: null, status: 500 } : null
    case 'all':
      if (!isOver) return null
      return { mode: respond, jobIndex: null, status: jobs.every(({ state }) => state === 'completed') ? 200 : 500 }
    case 'none':
      return null
  }
}

const isLost = (job: ModelJob | undefined): boolean => job?.state === 'failed' || job?.state === 'cancelled'

/** Jobs that wait for others become what these let them be. */
export function follow(model: Model, run: ModelRun, at: number): void {
  for (const job of run.jobs) {
    const needed = (job.given.after ?? []).map((other) => run.jobs[other])
    const lost = needed.find(isLost)?.index ?? null
    if (job.cancelledBy !== null && !isLost(run.jobs[job.cancelledBy])) {
      wait(run, job, { state: 'blocked', runAt: null, queuedAt: at, cancelledBy: null })
      model.final -= 1
    }
    if (job.state !== 'blocked') continue
    if (lost !== null) endOne(model, run, job, 'cancelled', at, { error: cancelled, cancelledBy: lost })
    else if (needed.every((other) => other?.state === 'completed')) {
      wait(run, job, { runAt: at + job.given.delayMs, queuedAt: at })
    }
  }
}

const cancelled: JobError = { code: 'cancelled', message: '' }
export function cancelJobs(model: Model, run: ModelRun, jobs: readonly ModelJob[], at: number): void {
  for (const job of jobs) if (!isFinal(job)) endOne(model, run, job, 'cancelled', at, { error: cancelled })
  follow(model, run, at)
}

const show = (value: unknown): string => JSON.stringify(value)
