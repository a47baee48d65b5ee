/**
 * The contract every engine fulfils. Each verb is atomic: its promise resolves only after what it did is durable,
 * and rejects with `AppError('store-unavailable')` when the commit failed, in which case nothing of it happened.
 * A read sees everything that was asked for before it. Every instant is in epoch milliseconds and comes from the caller; every payload is JSON text.
 */
import type { RespondMode } from '../domain/answer.ts'
import type { Claim, ClaimedJob, FreeSlots } from '../domain/claim.ts'
import type { JobError, JobState } from '../domain/job.ts'
import type { RunChange, RunRecord, RunState } from '../domain/run.ts'
import type { TaskKind } from '../domain/task.ts'

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
}

export interface NewRun {
  /** From `newRunId()`; accepting the same id twice is a defect and rejects. */
  readonly id: string
  readonly respond: RespondMode
  readonly tags: readonly string[]
  /** At least one. */
  readonly jobs: readonly NewJob[]
  /** Whether job 0 is claimed for the main thread in the same commit. */
  readonly claimsFirst: boolean
}

export interface ClaimRequest {
  readonly slots: readonly FreeSlots[]
  /** How many more jobs of these tasks may be claimed; a task that is not named has no limit. */
  readonly taskLimits: Readonly<Record<string, number>>
  /** `suspects`: only jobs for which one more lost start is the last, one at the most. */
  readonly only: 'all' | 'suspects'
  readonly at: number
}

export interface ClaimResult {
  /** Within a kind by priority, then by due time, then in order of acceptance. */
  readonly jobs: readonly ClaimedJob[]
  /** When the next waiting job that is not yet due will be, of the kinds that have a slot left; null without one. */
  readonly nextDueAt: number | null
}

/** `stale`: the claim is void (settled, cancelled or claimed again), and nothing was written. */
export type Settled = 'settled' | 'stale'

export interface CancelReport {
  /** `cancelled`: takes effect now; `was-…`: there was nothing left to cancel. */
  readonly result: 'cancelled' | 'was-cancelled' | 'was-final' | 'not-found'
  /** Indexes of the jobs that were running; their claims are void. */
  readonly wereRunning: readonly number[]
}

export interface RescueReport {
  /** Jobs queued again. */
  readonly requeued: number
  /** Jobs that had lost too many starts and are now failed as `crashed`. */
  readonly crashed: number
  /** Waiting jobs for which one more lost start is the last. */
  readonly suspects: number
}

export interface RunFilter {
  readonly state?: RunState
  readonly task?: string
  readonly tag?: string
  /** Exclusive bounds. */
  readonly createdAfter?: number
  readonly createdBefore?: number
  /** Only runs whose id sorts before this one: the last id of the previous page. */
  readonly beforeId?: string
  readonly pageSize: number
}

export interface RunPage {
  /** Newest first, without results. */
  readonly runs: readonly RunRecord[]
  readonly hasMore: boolean
}

export interface StoreStats {
  readonly runs: Readonly<Record<RunState, number>>
  readonly jobs: Readonly<Record<JobState, number>>
  /** How long the longest-waiting due job has been due; null when none waits. */
  readonly oldestQueuedMs: number | null
  /** Jobs ever accepted, settled for good, and still to settle; `lost` is what is missing in between: always 0. */
  readonly conservation: {
    readonly accepted: number
    readonly final: number
    readonly live: number
    readonly lost: number
  }
}

export interface Store {
  /** Opens, migrates and takes ownership; rejects with `BootError` when that cannot be had. */
  open(): Promise<void>
  /** Waits for what was asked before, then closes. Later calls reject. */
  close(): Promise<void>
  /** Calls back after each commit, once per changed run, in order of commit. Accepting a run is no change. */
  onChange(listener: (change: RunChange) => void): void
  /** Jobs not yet final, as of the last commit that this process saw. */
  backlog(): number

  /** Commits the run and all its jobs. Resolves to job 0's claim, or null unless `claimsFirst`. */
  accept(run: NewRun, at: number): Promise<ClaimedJob | null>
  /** Takes due jobs, each durably claimed before it is returned. */
  claim(request: ClaimRequest): Promise<ClaimResult>
  /** Settles a job with its result, and with it the run's answer where this job decides it. */
  complete(claim: Claim, result: string, at: number): Promise<Settled>
  /** Spends the attempt: the job fails for good, or waits until `retryAt` when that is not null. */
  fail(claim: Claim, error: JobError, retryAt: number | null, at: number): Promise<Settled>
  /** Hands a job back unspent: it is due again at once. */
  release(claim: Claim, at: number): Promise<Settled>
  /** Cancels one job, or with `jobIndex` null all of the run's that are not final. */
  cancel(runId: string, jobIndex: number | null, at: number): Promise<CancelReport>
  /** Takes back every job that a dead process held; no attempt is spent, a lost start is counted. */
  rescue(at: number): Promise<RescueReport>
  /** Forgets finished runs that ended before `finishedBefore`, oldest first, `limit` at the most and at least one where there is one; how many. */
  prune(finishedBefore: number, limit: number): Promise<number>

  getRun(id: string): Promise<RunRecord | null>
  listRuns(filter: RunFilter): Promise<RunPage>
  stats(at: number): Promise<StoreStats>
}
