/** What the model knows of the jobs, runs, keys and claims of a store. */
import type { Answer, RunState } from '../../src/domain/run.ts'
import type { Claim } from '../../src/domain/claim.ts'
import type { JobError, JobFailure, JobState, LostStart } from '../../src/domain/job.ts'
import type { NewJob, NewRun } from '../../src/domain/run/new-run.ts'

export interface ModelJob {
  readonly index: number
  readonly given: NewJob
  state: JobState
  attempt: number
  lostStarts: number
  lostStart: LostStart | null
  /** The number of its last claim; 0 before the first. */
  claim: number
  /** The process that runs it. */
  holder: number | null
  thread: string | null
  queuedAt: number
  startedAt: number | null
  finishedAt: number | null
  runAt: number | null
  result: string | null
  error: JobError | null
  failures: JobFailure[]
  /** In the order in which they were stored. */
  steps: { readonly name: string; readonly value: string; readonly finishedAt: number }[]
  /** The job whose end has cancelled it. */
  cancelledBy: number | null
  /** Its claim when it was queued afresh: once claimed again, it does not expire. */
  queuedClaim: number
}

export interface ModelRun {
  readonly given: NewRun
  readonly jobs: ModelJob[]
  answer: Answer | null
  respondedAt: number | null
  finishedAt: number | null
  /** When it has ended, each time. */
  readonly ends: number[]
  /** As it was last read; 0 before the first time. */
  version: number
  /** Changes since it was last read, beside its acceptance. */
  changes: number
}

interface Key {
  readonly runId: string
  readonly bodyDigest: string
  readonly claimedAt: number
  isDeferred: boolean
}

export interface Model {
  at: number
  /** The processes whose claims are not to be taken back. */
  alive: number[]
  /** In order of acceptance. */
  readonly runs: Map<string, ModelRun>
  readonly keys: Map<string, Key>
  /** Of each start of a job that counts to the rate of its task. */
  readonly starts: { readonly task: string; readonly at: number }[]
  /** The length of a window of a rate; null: no claim has one. */
  ratePerMs: number | null
  /** Tasks of which no job is claimed. */
  readonly paused: Set<string>
  /** The revision of each, by name. */
  readonly schedules: Map<string, string>
  accepted: number
  final: number
  /** Every claim that a process was given. */
  readonly given: { readonly claim: Claim; readonly holder: number }[]
  /** Every claim that ended because its job was cancelled. */
  readonly voids: { readonly claim: Claim; readonly holder: number }[]
}

export function createModel(at: number): Model {
  return {
    at,
    alive: [],
    runs: new Map(),
    keys: new Map(),
    starts: [],
    ratePerMs: 900,
    paused: new Set(),
    schedules: new Map(),
    accepted: 0,
    final: 0,
    given: [],
    voids: [],
  }
}

export function isFinal({ state }: Pick<ModelJob, 'state'>): boolean {
  return state === 'completed' || state === 'failed' || state === 'cancelled'
}

export function stateOf({ jobs }: ModelRun): RunState {
  if (!jobs.every(isFinal)) return 'running'
  return (['failed', 'cancelled'] as const).find((state) => jobs.some((job) => job.state === state)) ?? 'completed'
}

/** Whether it was due for too long without a start. */
export function isExpired({ given: { expiresMs }, state, runAt, claim, queuedClaim }: ModelJob, at: number): boolean {
  return expiresMs !== undefined && state === 'queued' && claim === queuedClaim && (runAt ?? at) + expiresMs <= at
}

/** Jobs whose results it still needs. */
export function missingOf({ jobs }: ModelRun, { given }: ModelJob): number[] {
  return (given.after ?? []).filter((other) => jobs[other]?.state !== 'completed')
}

/** How many starts a job may lose. */
export const allowedLosses = ({ given }: ModelJob): number => Math.max(3, given.maxAttempts)

export function isSuspect(job: ModelJob): boolean {
  return job.lostStarts === allowedLosses(job) - 1
}
