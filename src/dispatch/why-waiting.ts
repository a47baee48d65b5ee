/** Why a job does not run yet, as far as the process that answers knows. */
import type { Clock } from '../runtime/clock.ts'
import type { WhyWaiting } from '../domain/job.ts'
import type { Registry } from '../tasks/registry.ts'
import type { Store } from '../store/store.ts'
import type { Dispatcher } from './dispatcher.ts'

export interface WhyWaitingOptions {
  readonly clock: Clock
  readonly registry: Registry
  readonly dispatcher: Pick<Dispatcher, 'running' | 'ratedUntil'>
  readonly store: Pick<Store, 'pausedTasks'>
}

export function createWhyWaiting({ clock, registry, dispatcher, store }: WhyWaitingOptions): WhyWaiting {
  return ({ state, runAt, task }) => {
    if (state === 'blocked') return { reason: 'blocked' }
    if (runAt === null) return null
    if (runAt > clock.now()) return { reason: state === 'retrying' ? 'retry' : 'delay', until: runAt }
    if (store.pausedTasks().has(task)) return { reason: 'paused' }
    const known = registry.get(task)
    if (known === undefined) return { reason: 'unknown-task' }
    const { concurrency: limit, rate } = known.policy
    const until = rate === null ? null : dispatcher.ratedUntil(task)
    if (rate !== null && until !== null) return { reason: 'rate', ...rate, until }
    return limit !== null && dispatcher.running(task) >= limit ? { reason: 'limit', limit } : { reason: 'thread' }
  }
}
