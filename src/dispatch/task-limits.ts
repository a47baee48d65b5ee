/**
 * What keeps jobs of a task from starting in this process: concurrency, rate, free child processes, a pause. It makes the
 * requests for claims, and knows why a job waits; a wait for a child process is given as one for a thread.
 */
import type { Waiting, WhyWaiting } from '../domain/job.ts'
import type { Pool } from '../execution/pool/pool.ts'
import type { Clock } from '../runtime/clock.ts'
import type { ClaimRequest, ClaimResult } from '../store/claim-requests.ts'
import type { Store } from '../store/store.ts'
import type { Registry } from '../tasks/registry.ts'

export interface TaskLimits {
  /** A request for all jobs that can start now. */
  request(only: ClaimRequest['only']): ClaimRequest
  /** @param until when tasks with a used-up rate may start again, as a claim returns it */
  noteRates(until: ClaimResult['ratedUntil']): void
  /** A job of the task has started in the pool. */
  noteStart(task: string): void
  noteEnd(task: string): void
  readonly whyWaiting: WhyWaiting
}

export interface TaskLimitsOptions {
  readonly registry: Registry
  readonly pool: Pick<Pool, 'freeSlots' | 'freeProcesses'>
  readonly store: Pick<Store, 'pausedTasks'>
  readonly clock: Clock
}

export function createTaskLimits({ registry, pool, store, clock }: TaskLimitsOptions): TaskLimits {
  const running = new Map<string, number>()
  const limited = registry.all().flatMap(({ name, policy: { concurrency } }) => {
    return concurrency === null ? [] : [[name, concurrency] as const]
  })
  const rated = registry.all().flatMap(({ name, policy: { rate } }) => (rate === null ? [] : [[name, rate] as const]))
  const rates = rated.length === 0 ? {} : { rates: Object.fromEntries(rated) }
  const isolated = new Set(registry.all().flatMap(({ name, policy }) => (policy.isolation === 'process' ? name : [])))
  let ratedUntil: NonNullable<ClaimResult['ratedUntil']> = {}

  const runningOf = (task: string): number => running.get(task) ?? 0

  return {
    request(only) {
      const taskLimits = new Map(limited.map(([task, limit]) => [task, limit - runningOf(task)]))
      const room = isolated.size === 0 ? 0 : pool.freeProcesses()
      // Each task gets the whole room. Jobs of several tasks can exceed it: they wait in a process for their turn.
      for (const task of isolated) taskLimits.set(task, Math.min(room, taskLimits.get(task) ?? room))
      return {
        slots: pool.freeSlots(),
        taskLimits: Object.fromEntries(taskLimits),
        ...rates,
        ...(isolated.size > 0 && { isolated }),
        only,
        at: clock.now(),
      }
    },
    noteRates(until = {}) {
      ratedUntil = until
    },
    noteStart: (task) => void running.set(task, runningOf(task) + 1),
    noteEnd: (task) => void running.set(task, runningOf(task) - 1),
    whyWaiting({ state, runAt, task }): Waiting | null {
      if (state === 'blocked') return { reason: 'blocked' }
      if (runAt === null) return null
      const now = clock.now()
      if (runAt > now) return { reason: state === 'retrying' ? 'retry' : 'delay', until: runAt }
      if (store.pausedTasks().has(task)) return { reason: 'paused' }
      const policy = registry.get(task)?.policy
      if (policy === undefined) return { reason: 'unknown-task' }
      const { concurrency: limit, rate } = policy
      const until = Object.hasOwn(ratedUntil, task) ? (ratedUntil[task] ?? 0) : 0
      if (rate !== null && until > now) return { reason: 'rate', ...rate, until }
      return limit !== null && runningOf(task) >= limit ? { reason: 'limit', limit } : { reason: 'thread' }
    },
  }
}
