/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. */
import type { ClaimedJob } from '../../../domain/claim.ts'
import { claimedJob, claimJobs, type ClaimPick } from '../../../domain/run/transitions.ts'
import { jobAt, resultsFor, type Run } from '../../../domain/run/aggregate.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { type ClaimRequest, type ClaimResult, placeOf, threadsOf } from '../../claim-requests.ts'
import type { Waiting } from '../statements/queue.ts'
import type { StoredRun } from '../statements/records.ts'
import type { Transaction } from './transaction.ts'

interface Taken extends ClaimPick {
  readonly waiting: Waiting
}

interface Chosen {
  readonly taken: readonly Taken[]
  readonly nextDueAt: number | null
  /** Kinds with a slot left. */
  readonly open: readonly TaskKind[]
}

export function createClaim(transaction: Transaction): (request: ClaimRequest) => ClaimResult {
  const { queue, records, payloads, taskStarts } = transaction

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

  /** How many more jobs of these tasks may be claimed, and may start. */
  function limitsOf({ taskLimits, rates = {}, at }: ClaimRequest): Map<string, number> {
    const limits = new Map(Object.entries(taskLimits))
    for (const [task, rate] of Object.entries(rates)) {
      const { left } = taskStarts.allowance(task, rate, at)
      limits.set(task, Math.min(left, limits.get(task) ?? left))
    }
    return limits
  }

  function chooseSuspect(request: ClaimRequest): Chosen {
    const limits = limitsOf(request)
    for (const waiting of queue.dueSuspects(request.at)) {
      if ((limits.get(waiting.task) ?? 1) <= 0) continue
      const slot = request.slots.find(({ kind, count }) => kind === waiting.kind && count > 0)
      if (slot === undefined) continue
      const thread = placeOf(request, waiting.task, slot.thread)
      return { taken: [{ waiting, jobIndex: waiting.job, thread }], nextDueAt: null, open: [] }
    }
    return { taken: [], nextDueAt: null, open: [] }
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
    const { slots, at } = request
    const limits = limitsOf(request)
    const taken: Taken[] = []
    const open: TaskKind[] = []
    let next = Infinity
    for (const kind of taskKinds) {
      const threads = threadsOf(slots, kind)
      const chosen = choose(request, kind, threads, limits)
      taken.push(...chosen)
      // If every slot was filled, the next claim comes when one is free.
      if (chosen.length === threads.length) continue
      open.push(kind)
      next = Math.min(next, queue.nextDueAt(kind, at))
    }
    return { taken, nextDueAt: Number.isFinite(next) ? next : null, open }
  }

  function noteStarts(taken: readonly Taken[], { rates = {}, at }: ClaimRequest): void {
    for (const [task, rate] of Object.entries(rates)) {
      const count = taken.filter(({ waiting }) => waiting.task === task).length
      if (count > 0) taskStarts.note(task, rate, count, at)
    }
  }

  /** Tasks whose rate is used up, and until when. */
  function usedUp({ rates = {}, at }: ClaimRequest): Record<string, number> {
    const entries = Object.entries(rates).map(
      ([task, rate]) => [task, taskStarts.allowance(task, rate, at).until] as const,
    )
    return Object.fromEntries(entries.filter((entry): entry is readonly [string, number] => entry[1] !== null))
  }

  /** When the next job may start that waits for its task's rate. */
  function nextInTurn(open: readonly TaskKind[], ratedUntil: Readonly<Record<string, number>>): number {
    const waiting = open.flatMap((kind) => queue.priorities(kind).flatMap((priority) => queue.tasks(kind, priority)))
    return Math.min(...waiting.map((task) => ratedUntil[task] ?? Infinity))
  }

  return (request) => {
    const { only, at } = request
    if (only === 'suspects') transaction.flush()
    for (;;) {
      const { taken, nextDueAt, open } = only === 'suspects' ? chooseSuspect(request) : chooseAll(request)
      const stored = load(taken)
      if (stored === null) continue
      const jobs = claim(taken, stored, at)
      if (request.rates === undefined) return { jobs, nextDueAt }
      noteStarts(taken, request)
      const ratedUntil = usedUp(request)
      const next = Math.min(nextDueAt ?? Infinity, nextInTurn(open, ratedUntil))
      return { jobs, nextDueAt: Number.isFinite(next) ? next : null, ratedUntil }
    }
  }
}
