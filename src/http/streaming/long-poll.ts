/** Lets a client wait for a run's next version: while it is connected, for as long as it wants, and not beyond the service's leaving. */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../../domain/run.ts'
import type { RunWatch } from '../../feed/feed.ts'

export interface Polled {
  /** null: there is no such run, or no longer. */
  readonly run: RunRecord | null
  /** Whether there was anything to wait for. */
  readonly hasWaited: boolean
}

export interface LongPolls {
  /**
   * Resolves as soon as the run is not one that the client knows, and after `waitMs` in any case.
   * @throws AppError `store-unavailable`
   */
  wait(
    runId: string,
    isKnown: (run: RunRecord) => boolean,
    waitMs: number,
    response: Pick<ServerResponse, 'once' | 'off' | 'destroyed'>,
  ): Promise<Polled>
  /** Answers all polls; from now on each is answered at once. */
  dismiss(): void
  /** How many wait. */
  size(): number
}

export function createLongPolls({ watch }: RunWatch): LongPolls {
  const waiting = new Set<() => void>()
  let isLeaving = false

  return {
    wait(runId, isKnown, waitMs, response) {
      const { promise, resolve, reject } = Promise.withResolvers<Polled>()
      let latest: RunRecord | null = null
      let timer: NodeJS.Timeout | undefined

      // Before the first snapshot there is nothing to answer with; it comes soon.
      const giveUp = (): void => {
        if (latest !== null) resolve({ run: latest, hasWaited: timer !== undefined })
      }
      const unwatch = watch(runId, (snapshot) => {
        if (snapshot.kind === 'failed') return reject(snapshot.error)
        if (snapshot.kind === 'gone') return resolve({ run: null, hasWaited: timer !== undefined })
        latest = snapshot.run
        if (!isKnown(latest) || isLeaving || response.destroyed) return giveUp()
        timer ??= setTimeout(giveUp, waitMs)
      })
      waiting.add(giveUp)
      response.once('close', giveUp)
      return promise.finally(() => {
        clearTimeout(timer)
        unwatch()
        waiting.delete(giveUp)
        response.off('close', giveUp)
      })
    },
    dismiss() {
      isLeaving = true
      for (const giveUp of waiting) giveUp()
    },
    size: () => waiting.size,
  }
}
