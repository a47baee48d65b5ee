/** Builds arguments of a store, with defaults for everything that a test does not care about, and reads runs back. */
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../src/domain/claim.ts'
import { newRunId } from '../../src/domain/ids.ts'
import { v7 } from 'uuid'
import type { JobError, JobRecord } from '../../src/domain/job.ts'
import type { RunRecord } from '../../src/domain/run.ts'
import type { NewJob, NewRun } from '../../src/domain/run/new-run.ts'
import type { ClaimRequest } from '../../src/store/claim-requests.ts'
import type { Store } from '../../src/store/store.ts'

/** A fixed start time: a store takes every instant from its caller. */
export const start = 1_790_000_000_000

export const taskError: JobError = { code: 'task_error', message: 'it did not work' }

/** A run id with the time of the instant. */
export function runIdAt(at: number): string {
  return v7({ msecs: at })
}

export function jobOf(members: Partial<NewJob> = {}): NewJob {
  const policy = { priority: 0, timeoutMs: 60_000, maxAttempts: 3, delayMs: 0 }
  return { task: 'echo', kind: 'io', input: null, ...policy, ...members }
}

export function runOf(members: Partial<NewRun> = {}): NewRun {
  const choices = { respond: 'first', onFirstFailure: 'continue', claimsFirst: false } as const
  const none = { tags: [], traceparent: null, webhook: null, idempotency: null }
  return { id: newRunId(), jobs: [jobOf()], ...choices, ...none, ...members }
}

/** Room for many jobs of both kinds by default. */
export function requestAt(at: number, members: Partial<ClaimRequest> = {}): ClaimRequest {
  const slots = [
    { thread: 'worker-1', kind: 'cpu', count: 1_000 },
    { thread: 'worker-2', kind: 'io', count: 1_000 },
  ] as const
  return { slots, taskLimits: {}, only: 'all', at, ...members }
}

/** Claims the one due job. */
export async function claimOne(store: Store, at: number, members: Partial<ClaimRequest> = {}): Promise<ClaimedJob> {
  const { jobs } = await store.claim(requestAt(at, members))
  assert.is(jobs.length, 1, 'one job is due')
  return entryAt(jobs, 0)
}

/** Accepts a run together with a claim of its first job. */
export async function acceptFirst(store: Store, run: NewRun, at: number): Promise<ClaimedJob> {
  const report = await store.accept(run, at)
  if (report.result !== 'accepted' || report.first === null) throw new Error('the first job was not claimed')
  return report.first
}

export async function acceptAndClaim(store: Store, run: NewRun, at: number): Promise<ClaimedJob> {
  await store.accept(run, at)
  return claimOne(store, at)
}

export async function runIn(store: Store, id: string): Promise<RunRecord> {
  const run = await store.getRun(id)
  if (run === null) throw new Error(`the store has no run ${id}`)
  return run
}

export async function jobIn(store: Store, id: string, index = 0): Promise<JobRecord> {
  return entryAt((await runIn(store, id)).jobs, index)
}

export function entryAt<Entry>(entries: readonly Entry[], index: number): Entry {
  const entry = entries[index]
  if (entry === undefined) throw new Error(`there is no entry ${index} among ${entries.length}`)
  return entry
}
