/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. */
import type { ClaimedJob } from '../../domain/claim.ts'
import { claimedJob, claimJobs, type ClaimPick } from '../../domain/run/transitions.ts'
import { jobAt } from '../../domain/run/aggregate.ts'
import { taskKinds, type TaskKind } from '../../domain/task.ts'
import { slotFor, threadsOf } from '../slots.ts'
import type { ClaimRequest, ClaimResult } from '../store.ts'
import type { Waiting } from './tables/queue.ts'
import type { Transaction } from './transaction.ts'

interface Taken extends ClaimPick {
  readonly waiting: Waiting
}

export function createClaim(transaction: Transaction): (request: ClaimRequest) => ClaimResult {
  const { queue, records, payloads } = transaction

  /** Chooses due jobs of one kind, one for each thread named, and takes them off `limits`. */
  function choose(kind: TaskKind, threads: readonly string[], at: number, limits: Map<string, number>): Taken[] {
    const taken: Taken[] = []
    for (const priority of queue.priorities(kind)) {
      const free = threads.length - taken.length
      if (free === 0) break
      const open = new Map<string, number>()
      for (const task of queue.tasks(kind, priority)) {
        const room = Math.min(free, limits.get(task) ?? free)
        if (room > 0) open.set(task, room)
      }
      for (const waiting of queue.due(kind, priority, open, at)) {
        const thread = threads[taken.length]
        if (thread === undefined) break
        const { task, job: jobIndex } = waiting
        const left = limits.get(task)
        if (left !== undefined && left <= 0) continue
        if (left !== undefined) limits.set(task, left - 1)
        taken.push({ waiting, jobIndex, thread })
      }
    }
    return taken
  }

  function chooseSuspect(request: ClaimRequest): Taken[] {
    for (const waiting of queue.dueSuspects(request.at)) {
      const slot = slotFor(request, waiting)
      if (slot !== undefined) return [{ waiting, jobIndex: waiting.job, thread: slot.thread }]
    }
    return []
  }

  /** Claims what was chosen, each run once, and returns it in the order of the choice. */
  function claim(taken: readonly Taken[], at: number): ClaimedJob[] {
    const byRun = Map.groupBy(taken, ({ waiting }) => waiting.run)
    for (const [key, picks] of byRun) {
      const stored = records.get(key)
      transaction.save(stored, claimJobs(stored.run, picks, at))
    }
    return taken.map(({ waiting: { run: key, job: index, runAt } }) => {
      const { run } = records.get(key)
      return claimedJob(run, index, payloads.input(key, index, jobAt(run, index)), runAt, at)
    })
  }

  return (request) => {
    const { slots, at } = request
    if (request.only === 'suspects') {
      transaction.flush()
      return { jobs: claim(chooseSuspect(request), at), nextDueAt: null }
    }
    const limits = new Map(Object.entries(request.taskLimits))
    const taken: Taken[] = []
    let next = Infinity
    for (const kind of taskKinds) {
      const threads = threadsOf(slots, kind)
      const chosen = choose(kind, threads, at, limits)
      taken.push(...chosen)
      // Where every slot was filled, the next claim comes when one is free, whatever is due by then.
      if (chosen.length < threads.length) next = Math.min(next, queue.nextDueAt(kind, at))
    }
    return { jobs: claim(taken, at), nextDueAt: Number.isFinite(next) ? next : null }
  }
}
