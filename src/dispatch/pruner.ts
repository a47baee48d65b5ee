/** Forgets finished runs whose retention is over, a bounded batch at a time. */
import type { Clock } from '../domain/clock.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface Pruner {
  start(): void
  /** Resolves when no batch is under way. */
  stop(): Promise<void>
}

export interface PrunerOptions {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  readonly retentionMs: number
}

const batchSize = 200
const maxPauseMs = 60_000
const minPauseMs = 1_000

export function createPruner({ store, clock, log, retentionMs }: PrunerOptions): Pruner {
  // Often enough that a run outlives its retention by little, and never more often than once a second.
  const pauseMs = Math.min(maxPauseMs, Math.max(minPauseMs, retentionMs / 2))
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let pruning = Promise.resolve()

  async function prune(): Promise<void> {
    let total = 0
    let pruned = 1
    while (pruned > 0 && !isStopped) {
      // Between two batches, whatever waits for a commit gets its turn.
      pruned = await store.prune(clock.now() - retentionMs, batchSize, clock.now())
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
