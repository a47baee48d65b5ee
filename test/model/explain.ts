/** Finds an order in which the model does what was asked at once, with the replies and the state that were seen. */
import { isDeepStrictEqual } from 'node:util'
import { type Claim, firstOfEachName, type StepPage } from '../../src/domain/claim.ts'
import type { JobError, JobRecord } from '../../src/domain/job.ts'
import type { RunRecord } from '../../src/domain/run.ts'
import type { RunPage } from '../../src/store/store.ts'
import type { StoreStats } from '../../src/store/totals.ts'
import type { Call, Reply } from './calls.ts'
import { apply } from './model.ts'
import { isFinal, missingOf, stateOf, type Model, type ModelJob, type ModelRun } from './state.ts'

export interface Answered {
  readonly call: Call
  readonly reply: Reply
}

/** What the store says of itself afterwards. */
export interface Seen {
  readonly runs: ReadonlyMap<string, RunRecord | null>
  readonly page: RunPage
  readonly stats: StoreStats
  /** The revision of each, by name. */
  readonly schedules: ReadonlyMap<string, string>
  /** Of some claims, whether they are void or not. */
  readonly steps: readonly { readonly claim: Claim; readonly stored: StepPage | null }[]
}

export interface Happened {
  /** What was asked at once. */
  readonly together: readonly Answered[]
  /** The processes that are alive after that, and what was asked then. */
  readonly alive: readonly number[]
  readonly after: readonly Answered[]
  readonly seen: Seen
  /** Whether what was asked first is done first. */
  readonly isOrdered: boolean
  readonly isExact: boolean
}

/** @returns the model afterwards, or why no order explains it */
export function explain(model: Model, happened: Happened): Model | string {
  const { together, alive, after, seen, isOrdered, isExact } = happened
  let reason = 'nothing was tried'

  function follow(before: Model, answered: readonly Answered[]): Model | null {
    const next = structuredClone(before)
    for (const { call, reply } of answered) {
      const wrong = apply(next, call, reply, isExact)
      if (wrong === null) continue
      reason = `${call.verb}: ${wrong}`
      return null
    }
    return next
  }

  function finish(before: Model): Model | null {
    const next = follow({ ...before, alive: [...alive] }, after)
    const wrong = next && differs(next, seen)
    if (wrong === null) return next
    reason = wrong
    return null
  }

  function search(before: Model, left: readonly Answered[]): Model | null {
    if (left.length === 0) return finish(before)
    for (const [index, one] of left.entries()) {
      const rest = left.filter((other) => other !== one)
      const next = follow(before, [one])
      const found = (next && search(next, rest)) ?? (one.reply === 'lost' ? search(before, rest) : null)
      if (found !== null) return found
      if (isOrdered && index === 0) return null
    }
    return null
  }

  return search(model, together) ?? reason
}

function differs(model: Model, { runs, page, stats, schedules, steps }: Seen): string | null {
  if (!isDeepStrictEqual(schedules, model.schedules)) return `the schedules are ${show([...schedules])}`
  for (const { claim, stored } of steps) {
    const expected = stepsOf(model, claim)
    if (!isDeepStrictEqual(stored, expected)) return `its steps are ${show(stored)}, not ${show(expected)}`
  }
  for (const [id, record] of runs) {
    const run = model.runs.get(id)
    if (run === undefined) {
      if (record !== null) return `run ${id} is there: ${show(record)}`
      continue
    }
    if (record === null) return `run ${id} is not there`
    const hasChanged = run.version === 0 || run.changes > 0
    if (hasChanged ? record.version <= run.version : record.version !== run.version) {
      return `run ${id} goes from version ${run.version} to ${record.version} with ${run.changes} changes`
    }
    const wrong = wrongDeliveries(record)
    if (wrong !== null) return wrong
    const expected = recordOf(run, record)
    if (!isDeepStrictEqual(plain(record), expected)) return `the run is\n${show(plain(record))}, not\n${show(expected)}`
  }
  const listed = [...runs.values()].filter((record) => record !== null).toSorted((a, b) => (a.id < b.id ? 1 : -1))
  const bare = listed.map(({ webhook: _webhook, deliveries: _deliveries, ...run }) => ({
    ...run,
    jobs: run.jobs.map(bareOf),
  }))
  if (!isDeepStrictEqual(page, { runs: bare, hasMore: false })) return `the list is ${show(page)}, not ${show(bare)}`
  const totals = totalsOf(model)
  return isDeepStrictEqual(stats, totals) ? null : `the totals are\n${show(stats)}, not\n${show(totals)}`
}

/** What an attempt under the claim finds; null where that is void. */
function stepsOf({ runs }: Model, { runId, jobIndex, claim }: Claim): StepPage | null {
  const job = runs.get(runId)?.jobs[jobIndex]
  if (job?.claim !== claim || job.state !== 'running') return null
  return { steps: job.steps.map(({ name, value }) => ({ name, value })), next: null }
}

/** As lists have it. */
function bareOf({ steps: _steps, ...job }: JobRecord): JobRecord {
  const failedAttempts = job.failures.slice(-8).map(({ startedAt, finishedAt }) => ({ startedAt, finishedAt }))
  return { ...job, result: null, failures: [], ...(failedAttempts.length > 0 && { failedAttempts }) }
}

function recordOf(run: ModelRun, { version, createdAt }: RunRecord): RunRecord {
  const { given, answer, respondedAt, finishedAt, jobs } = run
  const { id, respond, tags } = given
  const own = { id, state: stateOf(run), version, respond, tags, answer, createdAt, respondedAt, finishedAt }
  return { ...own, jobs: jobs.map((job) => jobRecordOf(run, job)), ...reportOf(run) }
}

/** One delivery for each end; which versions those had nobody here knows. */
function reportOf({ given: { webhook }, ends }: ModelRun): Pick<RunRecord, 'webhook' | 'deliveries'> {
  if (typeof webhook !== 'string') return {}
  const pending = { version: 0, state: 'pending', attempts: 0, lastStatus: null } as const
  return { webhook, deliveries: ends.map((nextAt) => ({ ...pending, nextAt })) }
}

/** The last one is that of the end, where the run has ended. */
function wrongDeliveries({ id, state, version, deliveries = [], webhook }: RunRecord): string | null {
  if (webhook === undefined) return null
  const versions = deliveries.map((delivery) => delivery.version)
  const hasGrown = versions.every((each, index) => each > (versions[index - 1] ?? 0) && each <= version)
  const isReported = state === 'running' || versions.at(-1) === version
  return hasGrown && isReported ? null : `run ${id} is ${state} at ${version} and has deliveries of ${versions.join()}`
}

function jobRecordOf(run: ModelRun, job: ModelJob): JobRecord {
  const { index, given, state, thread, attempt, queuedAt, startedAt, finishedAt, runAt, result, error, failures } = job
  const chain = (given.after ?? []).length > 0 && { after: given.after }
  const waits = state === 'blocked' && { waitsFor: missingOf(run, job) }
  const names = firstOfEachName(job.steps).map(({ name, finishedAt: at }) => ({ name, finishedAt: at }))
  const steps = names.length > 0 && { steps: names }
  const { task, maxAttempts } = given
  const times = { queuedAt, startedAt, finishedAt, runAt }
  return {
    index,
    task,
    state,
    thread,
    attempt,
    maxAttempts,
    ...times,
    ...(job.lostStart && { lostStart: job.lostStart }),
    ...chain,
    ...waits,
    result,
    error,
    failures,
    ...steps,
  }
}

/** Without the words that the store itself finds for an error. */
function plain(run: RunRecord): RunRecord {
  const bare = (error: JobError | null): JobError | null =>
    error?.code === 'cancelled' || error?.code === 'crashed' || error?.code === 'expired'
      ? { code: error.code, message: '' }
      : error
  const { deliveries } = run
  const jobs = run.jobs.map((job) => ({ ...job, error: bare(job.error) }))
  return { ...run, jobs, ...(deliveries && { deliveries: deliveries.map((each) => ({ ...each, version: 0 })) }) }
}

function totalsOf({ runs, at, accepted, final }: Model): StoreStats {
  const byRun = { running: 0, completed: 0, failed: 0, cancelled: 0 }
  const byJob = { queued: 0, running: 0, retrying: 0, completed: 0, failed: 0, cancelled: 0, blocked: 0 }
  const waits: number[] = []
  let live = 0
  for (const run of runs.values()) {
    byRun[stateOf(run)] += 1
    for (const job of run.jobs) {
      byJob[job.state] += 1
      if (!isFinal(job)) live += 1
      if (job.runAt !== null && job.runAt <= at) waits.push(at - job.runAt)
    }
  }
  const oldestQueuedMs = waits.length === 0 ? null : Math.max(...waits)
  const conservation = { accepted, final, live, lost: accepted - final - live }
  return { runs: byRun, jobs: byJob, unknownTasks: {}, oldestQueuedMs, conservation }
}

const show = (value: unknown): string => JSON.stringify(value)
