/** Changes of runs for their subscribers: that a run's committed state has changed, and the run as it is now. */
import type { ChangeListener, RunRecord } from '../domain/run.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises'

export type RunListener = ChangeListener

export interface Feed {
  publish: ChangeListener
  /** @returns a function that ends the subscription */
  subscribe(runId: string, listener: RunListener): () => void
  /** The runs that have a subscription. */
  runIds(): string[]
  /** How many subscriptions there are, of all runs. */
  size(): number
}

export function createFeed(): Feed {
  const listeners = new Map<string, Set<RunListener>>()

  return {
    publish(change, asCommitted) {
      for (const listener of listeners.get(change.runId) ?? []) listener(change, asCommitted)
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

interface CatchUpOptions {
  readonly feed: Pick<Feed, 'runIds' | 'publish'>
  readonly store: Pick<Store, 'getRun'>
  readonly log: Log
}

const runsAtOnce = 100
const retryMs = 1_000

/**
 * Makes up for changes that were missed: reads every run that has a subscription, and publishes its state.
 * @returns a function that begins this and does not wait; a call while it is under way begins again
 */
export function createCatchUp({ feed, store, log }: CatchUpOptions): () => void {
  let round = 0

  async function catchUp(own: number): Promise<void> {
    const ids = feed.runIds()
    for (let next = 0; next < ids.length && own === round; next += runsAtOnce) {
      await Promise.all(ids.slice(next, next + runsAtOnce).map(publishState))
    }
  }

  async function publishState(runId: string): Promise<void> {
    const run = await store.getRun(runId)
    // A subscriber of a run that is gone finds that when it reads the run.
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

/** Must not throw; if it throws when it is shown a run, it is shown the error. */
export type ShowRun = (snapshot: Snapshot) => void

export interface RunWatch {
  /**
   * Shows the run as the next read finds it, and then the newest version after each change, in growing order; versions in
   * between may be left out. All subscribers are shown the same object, in the order in which they subscribed.
   * @returns a function that ends it, at once
   */
  watch(runId: string, show: ShowRun): () => void
}

interface Subscriber {
  readonly show: ShowRun
  lastVersion: number
}

interface Watched {
  readonly subscribers: Set<Subscriber>
  run: RunRecord | null
  isOutdated: boolean
  isReading: boolean
}

/**
 * A run of thousands of jobs that end one after another must not keep the store and this thread busy with reads: reads
 * that take longer than this take up a quarter of the time at most.
 */
const quickMs = 5
const pausePerRead = 3
const maxPauseMs = 1_000
/** Writing to a thousand sockets in one turn of the event loop would hold up all other work. */
const subscribersPerTurn = 32

/**
 * Shows runs to subscribers. However many subscribe to a run, it is read once for each change, and one read of it is
 * under way at a time; changes during a read share the next one.
 */
export function createRunWatch({ subscribe }: Pick<Feed, 'subscribe'>, { getRun }: Pick<Store, 'getRun'>): RunWatch {
  const watchedRuns = new Map<string, { readonly watched: Watched; readonly unsubscribe: () => void }>()

  function find(runId: string): Watched {
    const known = watchedRuns.get(runId)
    if (known !== undefined) return known.watched
    const watched: Watched = { subscribers: new Set(), run: null, isOutdated: false, isReading: false }
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
    while (watched.isOutdated && watched.subscribers.size > 0) {
      watched.isOutdated = false
      const startedAt = performance.now()
      // A subscriber that comes during the read may know of a newer version than the read finds.
      const subscribers = [...watched.subscribers]
      const snapshot = await read(runId, watched.run)
      if (snapshot.kind === 'run') watched.run = snapshot.run
      await showAll(subscribers, watched, snapshot)
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
      const subscriber: Subscriber = { show, lastVersion: -1 }
      watched.subscribers.add(subscriber)
      refresh(runId, watched)
      return () => {
        watched.subscribers.delete(subscriber)
        const known = watchedRuns.get(runId)
        if (watched.subscribers.size > 0 || known?.watched !== watched) return
        known.unsubscribe()
        watchedRuns.delete(runId)
      }
    },
  }
}

async function showAll(subscribers: readonly Subscriber[], watched: Watched, snapshot: Snapshot): Promise<void> {
  for (const [index, subscriber] of subscribers.entries()) {
    if (index > 0 && index % subscribersPerTurn === 0) await nextTurn()
    // It may have ended meanwhile.
    if (watched.subscribers.has(subscriber)) showOne(subscriber, snapshot)
  }
}

function showOne(subscriber: Subscriber, snapshot: Snapshot): void {
  if (snapshot.kind === 'run') {
    if (snapshot.run.version <= subscriber.lastVersion) return
    subscriber.lastVersion = snapshot.run.version
  }
  try {
    subscriber.show(snapshot)
  } catch (error) {
    // One that cannot show a run must neither end the process nor keep the others from seeing it.
    subscriber.show({ kind: 'failed', error })
  }
}
