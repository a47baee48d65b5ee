/** Tells who is interested in a run that its committed state has changed. */
import type { RunChange } from '../domain/run.ts'

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
