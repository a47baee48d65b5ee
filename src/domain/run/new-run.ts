/** A run before it is stored: the request, the new run that a store accepts, and its first record. */
import type { RespondMode, FirstFailurePolicy } from '../run.ts'
import type { JobOptions, TaskKind } from '../task.ts'
import { changeJob, type Job, type Run } from './aggregate.ts'

/** A task of a request whose form was checked. */
export interface TaskRequest extends JobOptions {
  readonly name: string
  /** Any JSON value, or the text of one (`RawJson`); absent is `undefined`. */
  readonly input?: unknown
}

export interface RunRequest {
  /** At least one. */
  readonly tasks: readonly TaskRequest[]
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
  readonly webhook?: { readonly url: string } | undefined
}

export interface NewJob {
  readonly task: string
  readonly kind: TaskKind
  /** null where the request had no input. */
  readonly input: string | null
  /** 0 … 9, higher first. */
  readonly priority: number
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly delayMs: number
  /** Indexes of earlier jobs, whose results it needs; absent or empty where there are none. */
  readonly after?: readonly number[]
  /** How long it may be due without a start; absent: for ever. */
  readonly expiresMs?: number
  /** Paths of what is secret in its input and its result; absent: nothing is. */
  readonly secret?: readonly string[]
}

export interface NewRun {
  /** From `newRunId()`; accepting the same id twice is a defect and rejects. */
  readonly id: string
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
  /** The span that has asked for the run, as W3C Trace Context names it. */
  readonly traceparent?: string | null
  /** Where its end is reported; absent or null: nowhere. */
  readonly webhook?: string | null
  /** At least one. */
  readonly jobs: readonly NewJob[]
  /** Whether job 0 is claimed for the main thread in the same commit. */
  readonly claimsFirst: boolean
  /** null where the request had no Idempotency-Key. */
  readonly idempotency: IdempotencyClaim | null
  /** Whether it is asked for in the store's inbox, under the run's id. */
  readonly isFromInbox?: boolean
  /** Why its request is not valid: the run is accepted, and its one job fails in the same commit. */
  readonly refusal?: string
}

/** Whether somebody wants the answer: then its first job must be able to start. */
export function asksForAnswer({ respond }: Pick<NewRun, 'respond'>): boolean {
  return respond !== 'none'
}

/** A caller's key, which names one run for 24 hours, or until that run is removed. */
export interface IdempotencyClaim {
  /** Identifies the caller: the same key of another caller is another key. */
  readonly scope: string
  readonly key: string
  /** Of the request's body, byte for byte. */
  readonly bodyDigest: string
  /** Whether the first reply goes out before there is an answer. */
  readonly isDeferred: boolean
}

const firstClaim = 1

/** @param holder number of the process that claims the first job; null where no other process shares the store */
export function acceptRun(given: NewRun, at: number, holder: number | null = null): Run {
  const { id, respond, onFirstFailure, tags, jobs, claimsFirst, traceparent = null, webhook = null } = given
  return {
    id,
    state: 'running',
    version: 1,
    respond,
    onFirstFailure,
    tags,
    traceparent,
    webhook,
    counts: { open: jobs.length, failed: 0, cancelled: 0 },
    answer: null,
    respondedAt: null,
    finishedAt: null,
    jobs: jobs.map((job, index) => acceptJob(job, index === 0 && claimsFirst, at, holder)),
  }
}

function acceptJob(job: NewJob, isClaimed: boolean, at: number, holder: number | null): Job {
  const { after = [], delayMs } = job
  const chain = after.length === 0 ? null : { after, delayMs, cancelledBy: null }
  return {
    task: job.task,
    kind: job.kind,
    state: isClaimed ? 'running' : chain === null ? 'queued' : 'blocked',
    priority: job.priority,
    timeoutMs: job.timeoutMs,
    maxAttempts: job.maxAttempts,
    attempt: isClaimed ? 1 : 0,
    claim: isClaimed ? firstClaim : 0,
    lostStarts: 0,
    leftClaim: 0,
    leftStarts: 0,
    lostStart: null,
    thread: isClaimed ? 'main' : null,
    holder: isClaimed ? holder : null,
    queuedAt: at,
    runAt: isClaimed || chain !== null ? null : at + delayMs,
    startedAt: isClaimed ? at : null,
    finishedAt: null,
    input: job.input,
    result: null,
    error: null,
    failures: [],
    chain,
    expiry: job.expiresMs === undefined ? null : { afterMs: job.expiresMs, claim: 0 },
    secret: job.secret ?? null,
    steps: null,
  }
}

/** Fails the run of a request that is not valid. */
export function refuseRun(run: Run, message: string, at: number): Run {
  return changeJob(run, 0, { to: 'failed', error: { code: 'invalid_request', message } }, at)
}
