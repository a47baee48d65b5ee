/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. */
import type { ClaimedJob } from '../../../domain/claim.ts'
import { claimedJob, claimJobs, type ClaimPick } from '../../../domain/run/transitions.ts'
import { jobAt, type Run } from '../../../domain/run/aggregate.ts'
import { resultsFor } from '../../../domain/run/chains.ts'
import { taskKinds, type TaskKind } from '../../../domain/task.ts'
import { placeOf, slotFor, threadsOf } from '../../slots.ts'
import type { ClaimRequest, ClaimResult } from '../../store.ts'
import type { Waiting } from '../statements/queue.ts'
import type { StoredRun } from '../statements/records.ts'
import type { Transaction } from './transaction.ts'

interface Taken extends ClaimPick {
  readonly waiting: Waiting
}

interface Chosen {
  readonly taken: readonly Taken[]
  readonly nextDueAt: number | null
}

export function createClaim(transaction: Transaction): (request: ClaimRequest) => ClaimResult {
  const { queue, records, payloads } = transaction

  /** Chooses due jobs of one kind, one for each thread named, and takes them off `limits`. */
  function choose(
    request: ClaimRequest,
    kind: TaskKind,
    threads: readonly string[],
    limits: Map<string, number>,
  ): Taken[] {
    const { at } = request
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
        taken.push({ waiting, jobIndex, thread: placeOf(request, task, thread) })
      }
    }
    return taken
  }

  function chooseSuspect(request: ClaimRequest): Chosen {
    for (const waiting of queue.dueSuspects(request.at)) {
      const slot = slotFor(request, waiting)
      if (slot === undefined) continue
      const thread = placeOf(request, waiting.task, slot.thread)
      return { taken: [{ waiting, jobIndex: waiting.job, thread }], nextDueAt: null }
    }
    return { taken: [], nextDueAt: null }
  }

  /** Loads the records of the chosen jobs; null if one cannot be read, which is left out from now on. */
  function load(taken: readonly Taken[]): Map<number, StoredRun> | null {
    const stored = new Map<number, StoredRun>()
    let isComplete = true
    for (const key of new Set(taken.map(({ waiting }) => waiting.run))) {
      const found = records.read(key)
      if (found !== null) stored.set(key, found)
      else {
        queue.ignore(key)
        isComplete = false
      }
    }
    return isComplete ? stored : null
  }

  /** Claims the chosen jobs, each run once, and returns them in the order of the choice. */
  function claim(taken: readonly Taken[], stored: ReadonlyMap<number, StoredRun>, at: number): ClaimedJob[] {
    const picks = Map.groupBy(taken, ({ waiting }) => waiting.run)
    const claimed = new Map<number, Run>()
    for (const [key, one] of stored) {
      claimed.set(key, transaction.save(one, claimJobs(one.run, picks.get(key) ?? [], at)).run)
    }
    return taken.flatMap(({ waiting: { run: key, job: index, runAt } }) => {
      const run = claimed.get(key)
      if (run === undefined) return []
      const job = jobAt(run, index)
      const after = resultsFor(run, job, (other, place) => payloads.result(key, place, other))
      return [claimedJob(run, index, payloads.input(key, index, job), runAt, at, after)]
    })
  }

  function chooseAll(request: ClaimRequest): Chosen {
    const { slots, taskLimits, at } = request
    const limits = new Map(Object.entries(taskLimits))
    const taken: Taken[] = []
    let next = Infinity
    for (const kind of taskKinds) {
      const threads = threadsOf(slots, kind)
      const chosen = choose(request, kind, threads, limits)
      taken.push(...chosen)
      // If every slot was filled, the next claim comes when one is free.
      if (chosen.length < threads.length) next = Math.min(next, queue.nextDueAt(kind, at))
    }
    return { taken, nextDueAt: Number.isFinite(next) ? next : null }
  }

  return (request) => {
    const { only, at } = request
    if (only === 'suspects') transaction.flush()
    for (;;) {
      const { taken, nextDueAt } = only === 'suspects' ? chooseSuspect(request) : chooseAll(request)
      const stored = load(taken)
      if (stored !== null) return { jobs: claim(taken, stored, at), nextDueAt }
    }
  }
}
