/** A claim, what goes with it to the thread, and what its attempt returns: progress, steps and an outcome. */
import type { JobError } from './job.ts'
import type { TaskKind } from './task.ts'

/** The right to run and settle a job. It is void once the job is claimed again, queued again or final. */
export interface Claim {
  readonly runId: string
  readonly jobIndex: number
  /** Grows with each claim of the job. */
  readonly claim: number
}

export interface ClaimedJob extends Claim {
  readonly task: string
  readonly kind: TaskKind
  /** JSON text; null: none. */
  readonly input: string | null
  /** Results of the jobs that it waited for, as JSON texts; absent: none. */
  readonly after?: readonly string[]
  /** How many steps of the job are stored; absent: none. */
  readonly steps?: number
  /** Present when other jobs of the run need its result. */
  readonly isAwaited?: true
  readonly thread: string
  readonly timeoutMs: number
  /** Number of this attempt, 1 for the first. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly lostStarts: number
  /** The span that the attempt belongs to, in W3C Trace Context format; absent: none. */
  readonly traceparent?: string
  /** How long the job had been due when it was claimed, in milliseconds. */
  readonly waitedMs: number
}

/** The claim without what came with it, which need not travel back to the store. */
export function claimOf({ runId, jobIndex, claim }: Claim): Claim {
  return { runId, jobIndex, claim }
}

/** Identifies a job in maps. */
export function jobKey({ runId, jobIndex }: Pick<Claim, 'runId' | 'jobIndex'>): string {
  return `${runId}/${jobIndex}`
}

/** Room for jobs of one kind on one thread. */
export interface FreeSlots {
  readonly thread: string
  readonly kind: TaskKind
  readonly count: number
}

/** The longest progress message, in bytes of UTF-8. */
export const maxProgressBytes = 120

/** The progress that a running task has reported. */
export interface Progress {
  /** From 0 to 1. */
  readonly fraction: number
  /** Empty: none. */
  readonly message: string
}

export interface JobProgress extends Progress {
  readonly runId: string
  readonly jobIndex: number
}

/** How an attempt ended, as it crosses threads: plain data, never a thrown error. */
export type Outcome =
  | { readonly ok: true; readonly result: string }
  | { readonly ok: false; readonly error: JobError; readonly isRetryable: boolean }

/** `released`: the attempt had no outcome of its own, so it is not spent and the job is handed back. */
export type AttemptOutcome = Outcome | 'released'

/** Runs an attempt, on the main thread or in the pool. Never rejects. */
export type RunAttempt = (job: ClaimedJob) => Promise<AttemptOutcome>

/** A failure after which the job may be retried. */
export function failedBy(error: JobError): Exclude<Outcome, { readonly ok: true }> {
  return { ok: false, error, isRetryable: true }
}

// Steps of a job are stored as they end, so that no later attempt repeats them.

/** How many steps a job may have. */
export const maxSteps = 1_000
/** The largest value of a step, in bytes of UTF-8 JSON text. */
export const maxStepBytes = 65_536
export const maxStepNameLength = 200
export const stepsPerPage = 50

export interface Step {
  /** Unique within its job. */
  readonly name: string
  /** JSON text. */
  readonly value: string
}

/** The number of a job's steps and the bytes of their values, as the record of the run has them. */
export interface StepTotals {
  readonly count: number
  readonly bytes: number
}

/** In the order in which they were stored. */
export interface StepPage {
  readonly steps: readonly Step[]
  /** Position of the next step; null: there is none. */
  readonly next: number | null
}

/** `stale`: the claim is void, and nothing was written. `full`: the job has `maxSteps` steps. */
export type StepReport = 'kept' | 'stale' | 'full'

export interface StepKeeper {
  /** Resolves when the step is durable; rejects when it cannot be. */
  keep(claim: Claim, step: Step): Promise<StepReport>
  /** The stored steps from position `from` on; null: the claim is void. */
  stored(claim: Claim, from: number): Promise<StepPage | null>
}

/** The step keeper of one attempt. */
export interface AttemptSteps {
  keep(step: Step): Promise<StepReport>
  stored(from: number): Promise<StepPage | null>
}

export function stepsOfAttempt(keeper: StepKeeper, claim: Claim): AttemptSteps {
  return { keep: (step) => keeper.keep(claim, step), stored: (from) => keeper.stored(claim, from) }
}

/** Keeps the first step of each name: a commit of unknown outcome is repeated, and then stores a second one. */
export function firstOfEachName<Named extends Pick<Step, 'name'>>(steps: readonly Named[]): Named[] {
  return [...Map.groupBy(steps, ({ name }) => name).values()].flatMap(([first]) => first ?? [])
}
