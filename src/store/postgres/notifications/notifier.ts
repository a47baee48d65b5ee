/** Notifies after a commit: those that listen in this process, and other processes of jobs that are left to claim. */
import type { RunChange } from '../../../domain/run.ts'
import type { TurnScheduler } from '../../../runtime/event-loop.ts'
import type { Inbox } from '../../inbox.ts'
import type { Notifier } from '../../notifier.ts'
import type { Store } from '../../store.ts'
import { encodeNotification } from './codec.ts'

export interface Subscribers extends Pick<Store, 'onChange'>, Pick<Notifier, 'onWork' | 'onGap'> {
  onRequests: Inbox['onRequests']
  change(changes: readonly RunChange[]): void
  work(): void
  /** Requests may be waiting in the inbox. */
  requests(): void
  /** At once: what was missed has to be read before any later change. */
  gap(): void
}

/** Calls back a few pieces per turn of the event loop. */
export function createSubscribers(turns: TurnScheduler): Subscribers {
  const changeListeners: ((change: RunChange) => void)[] = []
  const workListeners: (() => void)[] = []
  const gapListeners: (() => void)[] = []
  const requestListeners: (() => void)[] = []

  return {
    onChange: (listener) => void changeListeners.push(listener),
    onWork: (listener) => void workListeners.push(listener),
    onRequests: (listener) => void requestListeners.push(listener),
    onGap: (listener) => void gapListeners.push(listener),
    change(changes) {
      for (const change of changes) turns.run(() => changeListeners.forEach((listener) => listener(change)))
    },
    work: () => turns.run(() => workListeners.forEach((listener) => listener())),
    requests: () => requestListeners.forEach((listener) => listener()),
    gap: () => gapListeners.forEach((listener) => listener()),
  }
}

/**
 * Notifies other processes of jobs that are left to claim, and of the backlog. It sends after the commit, because a
 * process that misses the hint looks within a second, and a notification inside a commit makes commits wait for each
 * other. One message is under way at a time; what comes meanwhile goes with the next.
 */
export interface WorkNotifier {
  /** @param live of the writer. @param leaves whether there are jobs of which no process was notified */
  note(live: number, leaves: 'none' | 'later' | 'due'): void
}

/** Jobs that start as they are accepted: others need not hear of fewer than this at once. */
const maxUnnotified = 100

export function createWorkNotifier(
  from: number,
  writer: number,
  send: (messages: readonly string[]) => Promise<unknown>,
): WorkNotifier {
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
    note(live, leaves) {
      if (leaves === 'none' && live - lastSent < maxUnnotified) return
      next = { live, hasWork: leaves !== 'none' || next?.hasWork === true }
      sending ??= sendAll()
    },
  }
}
