/**
 * Notifies after a commit: those that listen in this process, and other processes of jobs that are left to claim. Receives
 * the notifications of other processes, and keeps the progress that they send.
 */
import { jobKey, type JobProgress, type Progress } from '../../../domain/claim.ts'
import type { ChangeListener, RunChange, RunRecord } from '../../../domain/run.ts'
import type { TurnScheduler } from '../../../runtime/event-loop.ts'
import type { Inbox, Notifier, Store } from '../../store.ts'
import type { Connect, Connection } from '../connection/connection.ts'
import { encodeNotification } from './codec.ts'

export interface Subscribers extends Pick<Store, 'onChange'>, Pick<Notifier, 'onWork' | 'onGap' | 'onTakeover'> {
  onRequests: Inbox['onRequests']
  /** @param asCommitted a run as the commit left it, where that was this process's */
  change(changes: readonly RunChange[], asCommitted?: (runId: string) => RunRecord | null): void
  work(): void
  /** Requests may be waiting in the inbox. */
  requests(): void
  /** At once: what was missed has to be read before any later change. */
  gap(): void
  takeover(jobs: number): void
}

/** Calls back a few pieces per turn of the event loop. */
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

/** Jobs that start as they are accepted: others need not hear of fewer than this at once. */
const maxUnnotified = 100

export type WorkNotifier = ReturnType<typeof createWorkNotifier>

/**
 * Notifies other processes of jobs that are left to claim, and of the backlog. It sends after the commit, because a
 * process that misses the hint looks within a second, and a notification inside a commit makes commits wait for each
 * other. One message is under way at a time; what comes meanwhile goes with the next.
 */
export function createWorkNotifier(
  from: number,
  writer: number,
  send: (messages: readonly string[]) => Promise<unknown>,
) {
  let lastSent = 0
  let next: { readonly live: number; readonly hasWork: boolean } | null = null
  let sending: Promise<void> | null = null

  async function sendAll(): Promise<void> {
    while (next !== null) {
      const { live, hasWork } = next
      next = null
      lastSent = live
      await send(encodeNotification({ type: 'commit', from, writer, live, hasWork, changes: [], voided: [] })).catch(
        () => {},
      )
    }
    sending = null
  }

  return {
    /** @param live of the writer. @param leaves whether there are jobs that no process was notified of */
    note(live: number, leaves: 'none' | 'later' | 'due'): void {
      if (leaves === 'none' && live - lastSent < maxUnnotified) return
      next = { live, hasWork: leaves !== 'none' || next?.hasWork === true }
      sending ??= sendAll()
    },
  }
}

interface ListenerOptions {
  readonly connect: Connect
  readonly channel: string
  readonly onMessage: (text: string) => void
  /** It listens again, and may have missed something. */
  readonly onGap: () => void
}

const firstPauseMs = 250
const maxPauseMs = 5_000
/** A query shows whether the connection still works. */
const probeMs = 5_000

/** A connection that listens. While it is lost, notifications may be missed. */
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
    fresh.onLost(again)
    timer = setTimeout(probe, probeMs, fresh)
  }

  function probe(probed: Connection): void {
    // `onLost` reports a failure.
    void probed.query({ text: 'SELECT 1' }).then(
      () => {
        if (probed === connection && !isStopped) timer = setTimeout(probe, probeMs, probed)
      },
      () => {},
    )
  }

  function again(): void {
    clearTimeout(timer)
    connection = null
    if (isStopped) return
    timer = setTimeout(() => void listen().then(onGap, again), pauseMs)
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

/** Progress is published again within this time; a job that has ended is forgotten after it. */
const keptMs = 10_000
const maxKept = 100_000

/** Progress of jobs that run in other processes. It travels by notification alone, because it is soon out of date. */
export function createRemoteProgress() {
  // In order of arrival.
  const heard = new Map<string, { readonly progress: Progress; readonly at: number }>()

  function forgetOld(now: number): void {
    for (const [name, { at }] of heard) {
      if (now - at < keptMs && heard.size <= maxKept) return
      heard.delete(name)
    }
  }

  return {
    hear(all: readonly JobProgress[]): void {
      const now = performance.now()
      for (const { runId, jobIndex, fraction, message } of all) {
        const name = jobKey({ runId, jobIndex })
        heard.delete(name)
        heard.set(name, { progress: { fraction, message }, at: now })
      }
      forgetOld(now)
    },
    of(runId: string, jobIndex: number): Progress | null {
      const found = heard.get(jobKey({ runId, jobIndex }))
      return found !== undefined && performance.now() - found.at < keptMs ? found.progress : null
    },
  }
}
