/** A run's states, the one table of what may follow what, and the function that derives a run's state. */
import type { Answer, RespondMode } from './answer.ts'
import type { Claim } from './claim.ts'
import type { DeliveryRecord } from './delivery.ts'
import type { JobCounts, JobRecord } from './job.ts'

export const runStates = ['running', 'completed', 'failed', 'cancelled'] as const
export type RunState = (typeof runStates)[number]

const transitions: Record<RunState, readonly RunState[]> = {
  running: ['running', 'completed', 'failed', 'cancelled'],
  // A requested retry of one of its jobs makes a run live again.
  failed: ['running'],
  cancelled: ['running'],
  completed: [],
}

/** The state after one of the run's jobs moved; throws on a move that the table does not have. */
export function moveRun(from: RunState, counts: JobCounts): RunState {
  const to = runStateOf(counts)
  if (!transitions[from].includes(to)) throw new Error(`a run cannot go from ${from} to ${to}`)
  return to
}

export function runStateOf(counts: JobCounts): RunState {
  if (counts.open > 0) return 'running'
  if (counts.failed > 0) return 'failed'
  return counts.cancelled > 0 ? 'cancelled' : 'completed'
}

/** What becomes of the other jobs when the first fails for good. */
export const firstFailurePolicies = ['continue', 'cancel'] as const
export type FirstFailurePolicy = (typeof firstFailurePolicies)[number]

/** A run as a store gives it to readers, made of the `Run` that it keeps. Instants are epoch milliseconds; null where the thing has not happened. */
export interface RunRecord {
  readonly id: string
  readonly state: RunState
  /** Grows with every committed change of state. */
  readonly version: number
  readonly respond: RespondMode
  readonly tags: readonly string[]
  readonly answer: Answer | null
  /** The instant in its id. */
  readonly createdAt: number
  readonly respondedAt: number | null
  readonly finishedAt: number | null
  /** In order of their index. */
  readonly jobs: readonly JobRecord[]
  /** Absent where the run has no webhook. */
  readonly webhook?: string
  /** In order of the ends that they report; absent where the run has no webhook, and in lists. */
  readonly deliveries?: readonly DeliveryRecord[]
}

/** Says that a run's committed state changed. */
export interface RunChange {
  readonly runId: string
  readonly version: number
  readonly state: RunState
  readonly isAnswered: boolean
  /**
   * The claims that a cancel has ended: an attempt under one of them is to stop. The same job can run under a newer
   * claim by the time this is heard.
   */
  readonly voided: readonly Claim[]
  /** Whether a delivery of the run is due since the change; only of commits of this process. */
  readonly isDeliveryDue?: boolean
}
