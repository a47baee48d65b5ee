/** What a transaction of a lane means to this process: what it knows of the database, and who is told. */
import type { Backlog } from './backlog.ts'
import type { Held } from './held.ts'
import { laneNames } from './lanes.ts'
import type { Subscribers } from './subscribers.ts'
import type { LaneOptions } from './lane.ts'
import type { Operation } from './operations.ts'
import type { Settlements } from './settlements.ts'
import { rowOf } from './transaction.ts'
import type { Waiting } from './waiting.ts'
import type { WorkTeller } from './work-teller.ts'

export interface Aftermath extends Pick<LaneOptions<Operation>, 'onCommitted' | 'onAnswered' | 'onLateCommit'> {
  /** Whether jobs may be this process's own in the database that nobody here runs. */
  hasOrphans(): boolean
  /** They are about to be looked for. */
  clearOrphans(): void
  /** Somebody has left jobs to claim, or may have. */
  wakeForWork(): void
}

export interface AftermathOptions {
  readonly owner: string
  readonly backlog: Backlog
  readonly waiting: Waiting
  readonly held: Held
  readonly settlements: Settlements
  readonly listeners: Subscribers
  readonly workTeller: WorkTeller
}

export function createAftermath(options: AftermathOptions): Aftermath {
  const { owner, backlog, waiting, held, settlements, listeners, workTeller } = options
  let hasOrphans = false

  function wakeForWork(): void {
    waiting.forget()
    listeners.work()
  }

  const onAnswered: Aftermath['onAnswered'] = ({ changes, waiting: left, live, leaves }, lane) => {
    listeners.change(changes)
    if (left === 'due') listeners.work()
    if (lane === laneNames.intake) workTeller.note(live, leaves)
  }

  return {
    wakeForWork,
    hasOrphans: () => hasOrphans,
    clearOrphans() {
      hasOrphans = false
    },
    onAnswered,
    onCommitted(outcome, operations, lane) {
      backlog.hear(rowOf({ owner, lane }), outcome.live)
      for (const job of outcome.given) held.give(job)
      for (const claim of outcome.voided) held.void(claim)
      const ranLost = held.lostOnThreads().length > 0
      settlements.note(operations)
      // Where one of them ran, others may have been kept from it.
      if (ranLost && held.lostOnThreads().length === 0) wakeForWork()
      if (outcome.waiting !== 'none') waiting.forget()
      hasOrphans ||= outcome.hasOrphans
    },
    // Nobody here knows of the claims that it gave: they are handed back.
    onLateCommit(outcome, operations, lane) {
      backlog.hear(rowOf({ owner, lane }), outcome.live)
      for (const claim of outcome.voided) held.void(claim)
      settlements.noteLate(operations, outcome.values)
      hasOrphans = true
      waiting.forget()
      onAnswered(outcome, lane)
    },
  }
}
