/**
 * Notifications: after a commit, listeners in this process are called, and other processes are notified of jobs to claim.
 * A connection of its own receives the notifications of other processes. The progress of their jobs is kept here.
 */
import { jobKey, type JobProgress, type Progress } from '../../../domain/claim.ts'
import type { ChangeListener, RunChange, RunRecord } from '../../../domain/run.ts'
import type { TurnScheduler } from '../../../runtime/event-loop.ts'
import type { Inbox, Notifier, Store } from '../../store.ts'
import type { Connect, Connection } from '../connection/connection.ts'
import type { Writes } from '../writing/unit-of-work.ts'
import type { Notification } from './codec.ts'

export interface Subscribers extends Pick<Store, 'onChange'>, Pick<Notifier, 'onWork' | 'onGap' | 'onTakeover'> {
  onRequests: Inbox['onRequests']
  /** @param asCommitted returns a run as a commit of this process left it */
  change(changes: readonly RunChange[], asCommitted?: (runId: string) => RunRecord | null): void
  work(): void
  /** Call when requests may wait in the inbox. */
  requests(): void
  /** Calls back at once: missed changes have to be read before later ones. */
  gap(): void
  takeover(jobs: number): void
}

/** Changes and work are passed on a few per turn of the event loop. */
export function createSubscribers(turns: TurnScheduler): Subscribers {
  const changeListeners: ChangeListener[] = []
  const workListeners: (() => void)[] = []
  const gapListeners: (() => void)[] = []
  const requestListeners: (() => void)[] = []
  const takeoverListeners: ((jobs: number) => void)[] = []

  return {
    onChange: (listener) => void changeListeners.push(listener),
    onWork: (listener) => void workListeners.push(listener),
    onRequests: (listener) => void requestListeners.push(listener),
    onGap: (listener) => void gapListeners.push(listener),
    onTakeover: (listener) => void takeoverListeners.push(listener),
    change(changes, asCommitted = () => null) {
      for (const change of changes) {
        turns.run(() => changeListeners.forEach((listener) => listener(change, () => asCommitted(change.runId))))
      }
    },
    work: () => turns.run(() => workListeners.forEach((listener) => listener())),
    requests: () => requestListeners.forEach((listener) => listener()),
    gap: () => gapListeners.forEach((listener) => listener()),
    takeover: (jobs) => takeoverListeners.forEach((listener) => listener(jobs)),
  }
}

/** Other processes are notified of the backlog when it has grown by this number of jobs. */
const maxUnnotified = 100

/**
 * Notifies other processes of jobs to claim, and of the backlog. The notification is sent after the commit: inside it would
 * make commits wait for each other, and a process that misses it looks for jobs within a second. One notification is sent
 * at a time; the next one covers all commits meanwhile.
 */
export function createWorkNotifier(from: number, writer: number, send: (notice: Notification) => Promise<void>) {
  let lastSent = 0
  let next: { readonly share: number; readonly hasWork: boolean } | null = null
  let sending: Promise<void> | null = null

  async function sendAll(): Promise<void> {
    while (next !== null) {
      const { share, hasWork } = next
      next = null
      lastSent = share
      await send({ type: 'commit', from, writer, share, hasWork, changes: [], voided: [] }).catch(() => {})
    }
    sending = null
  }

  return {
    /** @param share of the writer in the backlog @param newWork queued jobs that no process was notified of */
    note(share: number, newWork: Writes['newWork']): void {
      if (newWork === 'none' && share - lastSent < maxUnnotified) return
      next = { share, hasWork: newWork !== 'none' || next?.hasWork === true }
      sending ??= sendAll()
    },
  }
}

interface ListenerOptions {
  readonly connect: Connect
  readonly channel: string
  readonly onMessage: (text: string) => void
  /** Called when the connection listens again, after it may have missed notifications. */
  readonly onGap: () => void
}

const firstPauseMs = 250
const maxPauseMs = 5_000
/** Between two queries that show whether the connection works. */
const probeMs = 5_000

/** A connection that listens, and connects again when it was lost. */
export function createListener({ connect, channel, onMessage, onGap }: ListenerOptions) {
  let connection: Connection | null = null
  let isStopped = false
  let timer: NodeJS.Timeout | undefined
  let pauseMs = firstPauseMs

  async function listen(): Promise<void> {
    const fresh = await connect('listen')
    fresh.onNotification(onMessage)
    await fresh.query({ text: `LISTEN "${channel}"` })
    if (isStopped) return fresh.end()
    connection = fresh
    pauseMs = firstPauseMs
    fresh.onLost(listenAgain)
    timer = setTimeout(probe, probeMs, fresh)
  }

  function probe(probed: Connection): void {
    // A failure calls `onLost`.
    void probed.query({ text: 'SELECT 1' }).then(
      () => {
        if (probed === connection && !isStopped) timer = setTimeout(probe, probeMs, probed)
      },
      () => {},
    )
  }

  function listenAgain(): void {
    clearTimeout(timer)
    connection = null
    if (isStopped) return
    timer = setTimeout(() => void listen().then(onGap, listenAgain), pauseMs)
    pauseMs = Math.min(maxPauseMs, pauseMs * 2)
  }

  return {
    /** Resolves when it listens. @throws DatabaseFailure */
    start: listen,
    async stop(): Promise<void> {
      isStopped = true
      clearTimeout(timer)
      await connection?.end()
    },
  }
}

/** A job whose progress is not published again within this time has ended. */
const keptMs = 10_000
const maxKept = 100_000

/** Progress of jobs in other processes. It is sent by notification and never stored, because it is soon out of date. */
export function createRemoteProgress() {
  /** In order of arrival. */
  const received = new Map<string, { readonly progress: Progress; readonly at: number }>()

  function forgetOld(now: number): void {
    for (const [name, { at }] of received) {
      if (now - at < keptMs && received.size <= maxKept) return
      received.delete(name)
    }
  }

  return {
    receive(all: readonly JobProgress[]): void {
      const now = performance.now()
      for (const { runId, jobIndex, fraction, message } of all) {
        const name = jobKey({ runId, jobIndex })
        received.delete(name)
        received.set(name, { progress: { fraction, message }, at: now })
      }
      forgetOld(now)
    },
    of(runId: string, jobIndex: number): Progress | null {
      const found = received.get(jobKey({ runId, jobIndex }))
      return found !== undefined && performance.now() - found.at < keptMs ? found.progress : null
    },
  }
}
