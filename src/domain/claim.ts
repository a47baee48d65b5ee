/** The right to run a job, what goes with it to the thread, and what its attempt gives back: progress, steps, an outcome. */
import type { JobError } from './job.ts'
import type { TaskKind } from './task.ts'

/** The right to settle a job: void as soon as the job was claimed again or became final. */
export interface Claim {
  readonly runId: string
  readonly jobIndex: number
  /** Only grows. */
  readonly claim: number
}

export interface ClaimedJob extends Claim {
  readonly task: string
  readonly kind: TaskKind
  readonly input: string | null
  /** Results of the jobs that it has waited for, as JSON texts; absent where there are none. */
  readonly after?: readonly string[]
  /** How many steps of the job are stored; absent where there are none. */
  readonly steps?: number
  /** Present where other jobs of the run wait for its result. */
  readonly isAwaited?: true
  readonly thread: string
  readonly timeoutMs: number
  /** This attempt's number, 1 for the first. */
  readonly attempt: number
  readonly maxAttempts: number
  /** How many of its starts were lost because a process died. */
  readonly lostStarts: number
  /** The span that the attempt belongs to, as W3C Trace Context names it; absent where there is none. */
  readonly traceparent?: string
  /** How long it had been due when it was claimed, in milliseconds. */
  readonly waitedMs: number
}

/** The claim alone: what goes with it need not travel to the store again. */
export function claimOf({ runId, jobIndex, claim }: Claim): Claim {
  return { runId, jobIndex, claim }
}

/** Names a job in maps. */
export function jobKey({ runId, jobIndex }: Pick<Claim, 'runId' | 'jobIndex'>): string {
  return `${runId}/${jobIndex}`
}

/** Room for jobs of one kind on one thread. */
export interface FreeSlots {
  readonly thread: string
  readonly kind: TaskKind
  readonly count: number
}

/** The most that a progress message may have, in bytes of UTF-8. */
export const maxProgressBytes = 120

/** How far a running task is, as it has reported. */
export interface Progress {
  /** From 0 to 1. */
  readonly fraction: number
  /** Empty when the task gave none. */
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

/** `released`: the attempt did not come to an outcome of its own, so it is not spent and the job is handed back. */
export type AttemptOutcome = Outcome | 'released'

/** An attempt that failed and is worth another. */
export function failedBy(error: JobError): Outcome {
  return { ok: false, error, isRetryable: true }
}

// Steps of a job: pieces of its work that are stored as they end, so that no later attempt runs them again.

/** How many steps a job may have. */
export const maxSteps = 1_000
/** The largest value of a step, in bytes of UTF-8 JSON text. */
export const maxStepBytes = 65_536
export const maxStepNameLength = 200
/** Steps that are read at once. */
export const stepsPerPage = 50

export interface Step {
  /** Unique within its job. */
  readonly name: string
  /** JSON text. */
  readonly value: string
}

/** How many steps a job has, and how large they are: kept in the record of its run. */
export interface StepTotals {
  readonly count: number
  /** Of their values. */
  readonly bytes: number
}

/** In the order in which they were stored. */
export interface StepPage {
  readonly steps: readonly Step[]
  /** Place of the next one; null: there is none. */
  readonly next: number | null
}

/** `stale`: the claim is void, and nothing was written; `full`: the job has as many as it may have. */
export type StepReport = 'kept' | 'stale' | 'full'

/** Where the steps of attempts are kept. */
export interface StepKeeper {
  /** Resolves when the step is durable; rejects when it cannot be. */
  keep(claim: Claim, step: Step): Promise<StepReport>
  /** Stored steps from a place on; null where the claim is void. */
  stored(claim: Claim, from: number): Promise<StepPage | null>
}

/** Where the steps of one attempt are kept. */
export interface AttemptSteps {
  keep(step: Step): Promise<StepReport>
  stored(from: number): Promise<StepPage | null>
}

export function stepsOfAttempt(keeper: StepKeeper, claim: Claim): AttemptSteps {
  return { keep: (step) => keeper.keep(claim, step), stored: (from) => keeper.stored(claim, from) }
}

/** A step whose commit was repeated, because its outcome was unknown, may be stored twice: the first one counts. */
export function firstOfEachName<Named extends Pick<Step, 'name'>>(steps: readonly Named[]): Named[] {
  const names = new Set<string>()
  return steps.filter(({ name }) => names.size < names.add(name).size)
}
