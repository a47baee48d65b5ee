/** A run before it is stored: the request for it, the `NewRun` that a store accepts, and the first record. */
import type { RespondMode, FirstFailurePolicy } from '../run.ts'
import type { JobOptions, TaskKind } from '../task.ts'
import { changeJob, type Job, type Run } from './aggregate.ts'

/** One task of a request. */
export interface TaskRequest extends JobOptions {
  readonly name: string
  /** Any JSON value, or a `RawJson`; undefined: none. */
  readonly input?: unknown
}

/** A request whose form was checked. */
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
  /** JSON text; null: the request had no input. */
  readonly input: string | null
  /** 0 … 9, higher first. */
  readonly priority: number
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly delayMs: number
  /** Indexes of earlier jobs whose results it needs; absent or empty: none. */
  readonly after?: readonly number[]
  /** How long it may be due before it starts; absent: forever. */
  readonly expiresMs?: number
  /** Paths of the secret members of its input and result; absent: none. */
  readonly secret?: readonly string[]
}

/** A run that a store is to accept. */
export interface NewRun {
  /** From `newRunId()`; a store rejects an id that it has accepted before. */
  readonly id: string
  readonly respond: RespondMode
  readonly onFirstFailure: FirstFailurePolicy
  readonly tags: readonly string[]
  /** The caller's span, in W3C Trace Context format; null: none. */
  readonly traceparent: string | null
  /** The URL that gets a delivery when the run ends; null: none. */
  readonly webhook: string | null
  /** At least one. */
  readonly jobs: readonly NewJob[]
  /** Whether job 0 is claimed for the main thread in the same commit. */
  readonly claimsFirst: boolean
  /** null: the request has no Idempotency-Key. */
  readonly idempotency: IdempotencyClaim | null
  /** Whether the request is in the store's inbox, under the run's id. */
  readonly isFromInbox?: boolean
  /** Why the request is invalid: the run is accepted, and its only job fails in the same commit. */
  readonly refusal?: string
}

/** Whether the run has an answer, for which callers wait or not. Then its first job must not be delayed, nor its task be paused. */
export function asksForAnswer({ respond }: Pick<NewRun, 'respond'>): boolean {
  return respond !== 'none'
}

/** The key of a caller. It identifies one run for 24 hours, or until that run is removed. */
export interface IdempotencyClaim {
  /** Identifies the caller: callers do not share keys. */
  readonly scope: string
  readonly key: string
  /** Digest of the bytes of the request's body. */
  readonly bodyDigest: string
  /** Whether the response to the first request leaves before there is an answer. */
  readonly isDeferred: boolean
}

const firstClaim = 1

/** @param holder number of the process that claims the first job; null: only one process uses the store */
export function acceptRun(newRun: NewRun, at: number, holder: number | null = null): Run {
  const { id, respond, onFirstFailure, tags, jobs, claimsFirst, traceparent, webhook } = newRun
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

/** Fails the run of an invalid request. */
export function refuseRun(run: Run, message: string, at: number): Run {
  return changeJob(run, 0, { to: 'failed', error: { code: 'invalid_request', message } }, at)
}
