/** Long polls: a client waits for a newer version of a run, for as long as it asked for and until the service stops. */
import type { ServerResponse } from 'node:http'
import type { RunRecord } from '../../domain/run.ts'
import type { RunWatch } from '../../feed/feed.ts'

export interface PollOptions {
  readonly runId: string
  /** Whether the client has this version of the run. */
  readonly isKnown: (run: RunRecord) => boolean
  readonly waitMs: number
  readonly response: Pick<ServerResponse, 'once' | 'off' | 'destroyed'>
}

export interface PollResult {
  /** null: there is no such run, or no longer. */
  readonly run: RunRecord | null
  /** False if the first version that was read is new to the client. */
  readonly hasWaited: boolean
}

export interface LongPolls {
  /**
   * Resolves as soon as the run has a version that the client does not know, and after `waitMs` at the latest.
   * @throws AppError `store-unavailable`
   */
  wait(options: PollOptions): Promise<PollResult>
  /** Ends all polls. From now on `wait` does not wait. */
  dismiss(): void
  /** The number of polls that wait. */
  size(): number
}

export function createLongPolls({ watch }: RunWatch): LongPolls {
  const polls = new Set<() => void>()
  let isDismissed = false

  return {
    wait({ runId, isKnown, waitMs, response }) {
      const { promise, resolve, reject } = Promise.withResolvers<PollResult>()
      let latest: RunRecord | null = null
      let timer: NodeJS.Timeout | undefined

      const end = (run: RunRecord | null): void => resolve({ run, hasWaited: timer !== undefined })
      // Before the first read there is no run to resolve to: the callback of `watch` sees the same reason, and gives up.
      const giveUp = (): void => {
        if (latest !== null) end(latest)
      }
      const unwatch = watch(runId, (snapshot) => {
        if (snapshot.kind === 'failed') return reject(snapshot.error)
        if (snapshot.kind === 'gone') return end(null)
        latest = snapshot.run
        if (!isKnown(latest) || isDismissed || response.destroyed) return giveUp()
        timer ??= setTimeout(giveUp, waitMs)
      })
      polls.add(giveUp)
      response.once('close', giveUp)
      return promise.finally(() => {
        clearTimeout(timer)
        unwatch()
        polls.delete(giveUp)
        response.off('close', giveUp)
      })
    },
    dismiss() {
      isDismissed = true
      for (const giveUp of polls) giveUp()
    },
    size: () => polls.size,
  }
}
