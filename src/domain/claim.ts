/** The right to run a job, and what goes with it to the thread. */
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
