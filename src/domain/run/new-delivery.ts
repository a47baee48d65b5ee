/**
 * The delivery that the end of a run makes: one for each end of a run that has a webhook. Its number is the run's version
 * at that end, so that no end can have two.
 */
import type { RunState } from '../run.ts'
import type { Run } from './aggregate.ts'

/** A delivery when its run ends. */
export interface NewDelivery {
  readonly runId: string
  readonly version: number
  /** Where the webhook's address is: receivers share no room. */
  readonly receiver: string
  readonly outcome: RunState
  readonly endedAt: number
}

/** One that a process has taken to send it. */
export interface ClaimedDelivery extends NewDelivery {
  readonly attempts: number
}

/** The delivery that is due because a change has ended the run; null where there is none. */
export function deliveryOfEnd(before: Run, after: Run): NewDelivery | null {
  const { id: runId, webhook, version, state: outcome, finishedAt } = after
  if (webhook === null || outcome === 'running' || before.state !== 'running') return null
  return { runId, version, receiver: URL.parse(webhook)?.origin ?? '', outcome, endedAt: finishedAt ?? 0 }
}
