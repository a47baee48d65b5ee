/** Changes of runs, passed on to subscribers, and watches, which show a run as it is after its changes. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { ChangeListener, RunRecord } from '../domain/run.ts'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export interface Feed {
  publish: ChangeListener
  /** @returns a function that ends the subscription */
  subscribe(runId: string, listener: ChangeListener): () => void
  /** The ids of the runs with a subscription. */
  runIds(): string[]
  /** The number of subscriptions to all runs. */
  size(): number
}

export function createFeed(): Feed {
  const listenersByRun = new Map<string, Set<ChangeListener>>()

  return {
    publish(change, asCommitted) {
      for (const listener of listenersByRun.get(change.runId) ?? []) listener(change, asCommitted)
    },
    subscribe(runId, listener) {
      const listeners = listenersByRun.get(runId) ?? new Set()
      listenersByRun.set(runId, listeners.add(listener))
      return () => {
        listeners.delete(listener)
        if (listeners.size === 0 && listenersByRun.get(runId) === listeners) listenersByRun.delete(runId)
      }
    },
    runIds: () => [...listenersByRun.keys()],
    size: () => [...listenersByRun.values()].reduce((sum, { size }) => sum + size, 0),
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
 * Makes up for missed changes: reads every run with a subscription, and publishes its state.
 * @returns a function that starts this. A call while the runs are being read starts from the beginning.
 */
export function createCatchUp({ feed, store, log }: CatchUpOptions): () => void {
  let latestRound = 0

  async function publishAll(round: number): Promise<void> {
    const ids = feed.runIds()
    for (let next = 0; next < ids.length && round === latestRound; next += runsAtOnce) {
      await Promise.all(ids.slice(next, next + runsAtOnce).map(publishState))
    }
  }

  async function publishState(runId: string): Promise<void> {
    const run = await store.getRun(runId)
    // This change stands for the end of a run that is gone. Subscribers read the run and find out.
    const { version, state, answer } = run ?? { version: 0, state: 'cancelled' as const, answer: {} }
    feed.publish({ runId, version, state, isAnswered: answer !== null, voided: [] })
  }

  async function catchUp(): Promise<void> {
    latestRound += 1
    const round = latestRound
    while (round === latestRound) {
      try {
        return await publishAll(round)
      } catch (error) {
        log.debug({ err: error }, 'changes that were missed could not be read; trying again')
        await sleep(retryMs, undefined, { ref: false })
      }
    }
  }

  return () => void catchUp()
}

/** `gone`: there is no such run, or no longer. `failed`: the run could not be read; the next change reads it again. */
export type Snapshot =
  | { readonly kind: 'run'; readonly run: RunRecord }
  | { readonly kind: 'gone' }
  | { readonly kind: 'failed'; readonly error: unknown }

/** Must not throw. If it throws on a run, it is called again with that error as `failed`. */
export type OnSnapshot = (snapshot: Snapshot) => void

export interface RunWatch {
  /**
   * Shows the run as the next read finds it, then newer versions after changes, in ascending order. Versions in between may
   * be left out. All subscribers of a run get the same object.
   * @returns a function that ends the watch at once
   */
  watch(runId: string, onSnapshot: OnSnapshot): () => void
}

interface Subscriber {
  readonly onSnapshot: OnSnapshot
  lastVersion: number
}

interface WatchedRun {
  readonly runId: string
  readonly subscribers: Set<Subscriber>
  lastRead: RunRecord | null
  isOutdated: boolean
  isReading: boolean
  unsubscribe(): void
}

/**
 * A run of thousands of jobs that end one after another must not keep the store and this thread busy with reads. A read
 * that takes longer than `quickMs` is followed by a pause, so that such reads take up a quarter of the time at most.
 */
const quickMs = 5
const pausePerRead = 3
const maxPauseMs = 1_000
/** Writing to a thousand sockets in one turn of the event loop would hold up all other work. */
const subscribersPerTurn = 32

/**
 * Reads each watched run once per change, for all of its subscribers. Only one read of a run is under way at a time;
 * changes during a read share the next one.
 */
export function createRunWatch({ subscribe }: Pick<Feed, 'subscribe'>, { getRun }: Pick<Store, 'getRun'>): RunWatch {
  const watchedRuns = new Map<string, WatchedRun>()

  function find(runId: string): WatchedRun {
    const known = watchedRuns.get(runId)
    if (known !== undefined) return known
    const watched: WatchedRun = {
      runId,
      subscribers: new Set(),
      lastRead: null,
      isOutdated: false,
      isReading: false,
      unsubscribe: subscribe(runId, () => refresh(watched)),
    }
    watchedRuns.set(runId, watched)
    return watched
  }

  function refresh(watched: WatchedRun): void {
    watched.isOutdated = true
    if (!watched.isReading) void readWhileOutdated(watched)
  }

  async function readWhileOutdated(watched: WatchedRun): Promise<void> {
    watched.isReading = true
    while (watched.isOutdated && watched.subscribers.size > 0) {
      watched.isOutdated = false
      const startedAt = performance.now()
      // A subscriber that joins during the read may know a newer version than the read finds. It waits for the next read.
      const subscribers = [...watched.subscribers]
      await showAll(subscribers, watched, await read(watched))
      const tookMs = performance.now() - startedAt
      if (tookMs > quickMs) await sleep(Math.min(tookMs * pausePerRead, maxPauseMs), undefined, { ref: false })
    }
    watched.isReading = false
  }

  async function read(watched: WatchedRun): Promise<Snapshot> {
    try {
      const run = await getRun(watched.runId)
      if (run === null) return { kind: 'gone' }
      if (run.version !== watched.lastRead?.version) watched.lastRead = run
      return { kind: 'run', run: watched.lastRead }
    } catch (error) {
      return { kind: 'failed', error }
    }
  }

  return {
    watch(runId, onSnapshot) {
      const watched = find(runId)
      const subscriber: Subscriber = { onSnapshot, lastVersion: -1 }
      watched.subscribers.add(subscriber)
      refresh(watched)
      return () => {
        watched.subscribers.delete(subscriber)
        if (watched.subscribers.size > 0 || watchedRuns.get(runId) !== watched) return
        watched.unsubscribe()
        watchedRuns.delete(runId)
      }
    },
  }
}

async function showAll(subscribers: readonly Subscriber[], watched: WatchedRun, snapshot: Snapshot): Promise<void> {
  for (const [index, subscriber] of subscribers.entries()) {
    if (index > 0 && index % subscribersPerTurn === 0) await nextTurn()
    // The subscriber may have ended its watch meanwhile.
    if (watched.subscribers.has(subscriber)) showOne(subscriber, snapshot)
  }
}

function showOne(subscriber: Subscriber, snapshot: Snapshot): void {
  if (snapshot.kind === 'run') {
    if (snapshot.run.version <= subscriber.lastVersion) return
    subscriber.lastVersion = snapshot.run.version
  }
  try {
    subscriber.onSnapshot(snapshot)
  } catch (error) {
    // The error must neither end the process nor keep the run from other subscribers.
    subscriber.onSnapshot({ kind: 'failed', error })
  }
}
