/** Steps of a job: pieces of its work that are stored as they end, so that no later attempt runs them again. */
import type { Claim } from './claim.ts'

/** Of one job. */
export const maxSteps = 1_000
/** Of one step's value, in bytes of UTF-8 JSON text. */
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

/** As readers get it. */
export interface StepRecord {
  readonly name: string
  /** In epoch milliseconds. */
  readonly finishedAt: number
}

/** What the record of a run has of a job's steps. */
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

/** Those of one attempt. */
export interface AttemptSteps {
  keep(step: Step): Promise<StepReport>
  stored(from: number): Promise<StepPage | null>
}

export function stepsOfAttempt(keeper: StepKeeper, claim: Claim): AttemptSteps {
  return { keep: (step) => keeper.keep(claim, step), stored: (from) => keeper.stored(claim, from) }
}

/** Where a commit of unknown outcome was asked for again, a step may be there twice: the first one counts. */
export function firstOfEachName<Named extends Pick<Step, 'name'>>(steps: readonly Named[]): Named[] {
  const names = new Set<string>()
  return steps.filter(({ name }) => names.size < names.add(name).size)
}
