/** Forgets finished runs whose retention is over, a bounded batch at a time. */
import { monotonicClock, type Clock } from '../domain/clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface Pruner {
  start(): void
  /** Resolves when no batch is under way. */
  stop(): Promise<void>
}

export interface PrunerOptions {
  readonly store: Pick<Store, 'prune'>
  readonly clock: Clock
  /** Milliseconds on a clock that nobody can set. */
  readonly steady?: Clock
  readonly log: Log
  readonly retentionMs: number
}

const batchSize = 200
const maxPauseMs = 60_000
const minPauseMs = 1_000

export function createPruner({ store, clock, steady = monotonicClock, log, retentionMs }: PrunerOptions): Pruner {
  // Often enough that a run outlives its retention by little, and never more often than once a second.
  const pauseMs = Math.min(maxPauseMs, Math.max(minPauseMs, retentionMs / 2))
  const aheadMs = clock.now() - steady.now()
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let pruning = Promise.resolve()

  async function prune(): Promise<void> {
    let total = 0
    let pruned = 1
    while (pruned > 0 && !isStopped) {
      // Between two batches, whatever waits for a commit gets its turn.
      const now = clock.now()
      // A clock that is set forward makes no run older: that cannot be taken back. The store knows whole milliseconds.
      const atMost = Math.floor(Math.min(now, aheadMs + steady.now()))
      pruned = await store.prune(atMost - retentionMs, batchSize, now)
      total += pruned
    }
    if (total > 0) log.debug({ total }, 'forgot runs and idempotency keys whose time is over')
  }

  function round(): void {
    pruning = prune()
      .catch((error: unknown) => log.error({ err: error }, 'old runs could not be forgotten; trying again'))
      .then(() => {
        if (!isStopped) timer = setTimeout(round, pauseMs)
      })
  }

  return {
    start: round,
    async stop() {
      isStopped = true
      clearTimeout(timer)
      await pruning
    },
  }
}
