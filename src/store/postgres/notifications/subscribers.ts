/** Who listens to a store, told a few pieces per turn of the event loop. */
import type { RunChange } from '../../../domain/run.ts'
import type { TurnScheduler } from '../../../domain/turn-scheduler.ts'
import type { Notifier } from '../../notifier.ts'
import type { Store } from '../../store.ts'

export interface Subscribers extends Pick<Store, 'onChange'>, Pick<Notifier, 'onWork' | 'onGap'> {
  change(changes: readonly RunChange[]): void
  work(): void
  /** At once: what was missed is to be read before anything else is told. */
  gap(): void
}

export function createSubscribers(turns: TurnScheduler): Subscribers {
  const changeListeners: ((change: RunChange) => void)[] = []
  const workListeners: (() => void)[] = []
  const gapListeners: (() => void)[] = []

  return {
    onChange: (listener) => void changeListeners.push(listener),
    onWork: (listener) => void workListeners.push(listener),
    onGap: (listener) => void gapListeners.push(listener),
    change(changes) {
      for (const change of changes) turns.run(() => changeListeners.forEach((listener) => listener(change)))
    },
    work: () => turns.run(() => workListeners.forEach((listener) => listener())),
    gap: () => gapListeners.forEach((listener) => listener()),
  }
}
