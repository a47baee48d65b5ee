/** Tells who is interested in a run that its committed state has changed. */
import type { RunChange } from '../domain/run.ts'
import { setTimeout as pause } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export type RunListener = (change: RunChange) => void

export interface Feed {
  publish(change: RunChange): void
  /** @returns a function that ends the subscription */
  subscribe(runId: string, listener: RunListener): () => void
  /** The runs that somebody has subscribed to. */
  runIds(): string[]
  /** How many subscriptions there are, of all runs. */
  size(): number
}

export function createFeed(): Feed {
  const listeners = new Map<string, Set<RunListener>>()

  return {
    publish(change) {
      for (const listener of listeners.get(change.runId) ?? []) listener(change)
    },
    subscribe(runId, listener) {
      const ofRun = listeners.get(runId) ?? new Set()
      listeners.set(runId, ofRun.add(listener))
      return () => {
        ofRun.delete(listener)
        if (ofRun.size === 0 && listeners.get(runId) === ofRun) listeners.delete(runId)
      }
    },
    runIds: () => [...listeners.keys()],
    size: () => [...listeners.values()].reduce((sum, ofRun) => sum + ofRun.size, 0),
  }
}

/** Makes up for changes that were missed: every run that somebody is interested in is read, and told as it is. */
interface CatchUpOptions {
  readonly feed: Pick<Feed, 'runIds' | 'publish'>
  readonly store: Pick<Store, 'getRun'>
  readonly log: Log
}

const runsAtOnce = 100
const retryMs = 1_000

/** @returns a function that begins it and waits for nothing; while it is under way, another call begins it anew */
export function createCatchUp({ feed, store, log }: CatchUpOptions): () => void {
  let round = 0

  async function catchUp(own: number): Promise<void> {
    const ids = feed.runIds()
    for (let next = 0; next < ids.length && own === round; next += runsAtOnce) {
      await Promise.all(ids.slice(next, next + runsAtOnce).map(tell))
    }
  }

  async function tell(runId: string): Promise<void> {
    const run = await store.getRun(runId)
    // Who watches a run that is gone finds out when he reads it.
    const { version, state, answer } = run ?? { version: 0, state: 'cancelled' as const, answer: {} }
    feed.publish({ runId, version, state, isAnswered: answer !== null, voided: [] })
  }

  async function catchUpAtLast(): Promise<void> {
    round += 1
    const own = round
    while (own === round) {
      try {
        return await catchUp(own)
      } catch (error) {
        log.debug({ err: error }, 'changes that were missed could not be read; trying again')
        await pause(retryMs, undefined, { ref: false })
      }
    }
  }

  return () => void catchUpAtLast()
}
