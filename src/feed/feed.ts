/** Changes of runs for those who watch: that a run's committed state has changed, and the run as it is since. */
import type { RunChange, RunRecord } from '../domain/run.ts'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'
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

/** `gone`: there is no such run, or no longer. `failed`: it could not be read; the next change is another chance. */
export type Snapshot =
  | { readonly kind: 'run'; readonly run: RunRecord }
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly error: unknown }

/** Must not throw; one that does when it is shown a run is shown the error. */
export type ShowRun = (sight: Snapshot) => void

export interface RunWatch {
  /**
   * Shows the run as a read finds it that is begun after this call, and then each version that is read after a change,
   * in growing order: the newest always, one that was passed meanwhile perhaps not. Everybody is shown the same object,
   * in the order in which they came.
   * @returns a function that ends it, at once
   */
  watch(runId: string, show: ShowRun): () => void
}

interface Subscriber {
  readonly show: ShowRun
  lastVersion: number
}

interface Watched {
  readonly viewers: Set<Subscriber>
  run: RunRecord | null
  isOutdated: boolean
  isReading: boolean
}

/**
 * A run of thousands of jobs that end one after the other must not be all that the store reads and this thread writes:
 * reads that take longer than this are under way for a quarter of the time at the most.
 */
const quickMs = 5
const pausePerRead = 3
const maxPauseMs = 1_000
/** Who writes to a thousand sockets in one turn of the event loop holds up everybody else. */
const viewersPerTurn = 32

/**
 * Shows runs to those who watch them. However many watch a run, it is read once for each change, and one read of it is
 * under way at a time; what changes meanwhile is read next.
 */
export function createRunWatch({ subscribe }: Pick<Feed, 'subscribe'>, { getRun }: Pick<Store, 'getRun'>): RunWatch {
  const watchedRuns = new Map<string, { readonly watched: Watched; readonly unsubscribe: () => void }>()

  function find(runId: string): Watched {
    const known = watchedRuns.get(runId)
    if (known !== undefined) return known.watched
    const watched: Watched = { viewers: new Set(), run: null, isOutdated: false, isReading: false }
    const unsubscribe = subscribe(runId, () => refresh(runId, watched))
    watchedRuns.set(runId, { watched, unsubscribe })
    return watched
  }

  function refresh(runId: string, watched: Watched): void {
    watched.isOutdated = true
    if (!watched.isReading) void readWhileOutdated(runId, watched)
  }

  async function readWhileOutdated(runId: string, watched: Watched): Promise<void> {
    watched.isReading = true
    while (watched.isOutdated && watched.viewers.size > 0) {
      watched.isOutdated = false
      const startedAt = performance.now()
      // Who comes during the read may know of more than it finds.
      const viewers = [...watched.viewers]
      const sight = await read(runId, watched.run)
      if (sight.kind === 'run') watched.run = sight.run
      await showAll(viewers, watched, sight)
      const tookMs = performance.now() - startedAt
      if (tookMs > quickMs) await pause(Math.min(tookMs * pausePerRead, maxPauseMs), undefined, { ref: false })
    }
    watched.isReading = false
  }

  async function read(runId: string, last: RunRecord | null): Promise<Snapshot> {
    try {
      const run = await getRun(runId)
      if (run === null) return { kind: 'gone' }
      return { kind: 'run', run: run.version === last?.version ? last : run }
    } catch (error) {
      return { kind: 'failed', error }
    }
  }

  return {
    watch(runId, show) {
      const watched = find(runId)
      const viewer: Subscriber = { show, lastVersion: -1 }
      watched.viewers.add(viewer)
      refresh(runId, watched)
      return () => {
        watched.viewers.delete(viewer)
        const known = watchedRuns.get(runId)
        if (watched.viewers.size > 0 || known?.watched !== watched) return
        known.unsubscribe()
        watchedRuns.delete(runId)
      }
    },
  }
}

async function showAll(viewers: readonly Subscriber[], watched: Watched, sight: Snapshot): Promise<void> {
  for (const [index, viewer] of viewers.entries()) {
    if (index > 0 && index % viewersPerTurn === 0) await nextTurn()
    // It may have ended meanwhile.
    if (watched.viewers.has(viewer)) showOne(viewer, sight)
  }
}

function showOne(viewer: Subscriber, sight: Snapshot): void {
  if (sight.kind === 'run') {
    if (sight.run.version <= viewer.lastVersion) return
    viewer.lastVersion = sight.run.version
  }
  try {
    viewer.show(sight)
  } catch (error) {
    // One that cannot show a run must neither end the process nor keep the others from seeing it.
    viewer.show({ kind: 'failed', error })
  }
}
