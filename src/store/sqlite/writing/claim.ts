/** Claims due jobs for free slots: by priority, then by due time, within the limit and the rate of each task. */
import type { ClaimedJob } from '../../../domain/claim.ts'
import { claimedJob, claimJobs } from '../../../domain/run/transitions.ts'
import { jobAt, resultsFor, type Run } from '../../../domain/run/aggregate.ts'
import { type Rate, type TaskKind, taskKinds } from '../../../domain/task.ts'
import { type ClaimRequest, type ClaimResult, runnerOf, freeThreads } from '../../claim-requests.ts'
import type { QueueEntry } from '../statements/queue.ts'
import type { StoredRun } from '../statements/records.ts'
import type { Transaction } from './transaction.ts'

interface ChosenJob extends QueueEntry {
  readonly thread: string
}

interface Choice {
  readonly chosen: readonly ChosenJob[]
  /** When the next job of an open kind is due; Infinity without one. */
  readonly nextDueAt: number
  /** Kinds with a slot left: no further job of theirs that may be claimed is due. */
  readonly openKinds: readonly TaskKind[]
}

type Rates = Readonly<Record<string, Rate>>

/** How many more jobs of each task may start; a task without an entry has no limit. */
type StartsLeft = Map<string, number>
const leftOf = (left: StartsLeft, task: string): number => left.get(task) ?? Infinity

export function createClaim(transaction: Transaction): (request: ClaimRequest) => ClaimResult {
  const { queue, records, payloads, taskStarts } = transaction

  function startsLeft({ taskLimits, rates = {}, at }: ClaimRequest): StartsLeft {
    const left = new Map(Object.entries(taskLimits))
    for (const [task, rate] of Object.entries(rates)) {
      left.set(task, Math.min(taskStarts.allowance(task, rate, at).left, leftOf(left, task)))
    }
    return left
  }

  function chooseSuspect(request: ClaimRequest): Choice {
    // The queue finds suspects in its rows.
    transaction.flush()
    const left = startsLeft(request)
    const chosen: ChosenJob[] = []
    for (const entry of queue.dueSuspects(request.at)) {
      const slot = request.slots.find(({ kind, count }) => kind === entry.kind && count > 0)
      if (slot === undefined || leftOf(left, entry.task) <= 0) continue
      chosen.push({ ...entry, thread: runnerOf(request, entry.task, slot.thread) })
      break
    }
    return { chosen, nextDueAt: Infinity, openKinds: [] }
  }

  function chooseJobs(request: ClaimRequest): Choice {
    const left = startsLeft(request)
    const chosen: ChosenJob[] = []
    const openKinds: TaskKind[] = []
    let nextDueAt = Infinity
    for (const kind of taskKinds) {
      const threads = freeThreads(request.slots, kind)
      const ofKind = chooseOfKind(request, kind, threads, left)
      chosen.push(...ofKind)
      // When every slot is filled, the next claim comes with the next free slot.
      if (ofKind.length === threads.length) continue
      openKinds.push(kind)
      nextDueAt = Math.min(nextDueAt, queue.nextDueAt(kind, request.at))
    }
    return { chosen, nextDueAt, openKinds }
  }

  /** Chooses at most one job for each of the threads, and subtracts the chosen jobs from `left`. */
  function chooseOfKind(
    request: ClaimRequest,
    kind: TaskKind,
    threads: readonly string[],
    left: StartsLeft,
  ): ChosenJob[] {
    const chosen: ChosenJob[] = []
    for (const priority of queue.priorities(kind)) {
      const free = threads.length - chosen.length
      if (free === 0) break
      const wanted = new Map<string, number>()
      for (const task of queue.tasks(kind, priority)) {
        const count = Math.min(free, leftOf(left, task))
        if (count > 0) wanted.set(task, count)
      }
      for (const entry of queue.due(kind, priority, wanted, request.at)) {
        const thread = threads[chosen.length]
        if (thread === undefined) break
        const ofTask = leftOf(left, entry.task)
        if (ofTask <= 0) continue
        left.set(entry.task, ofTask - 1)
        chosen.push({ ...entry, thread: runnerOf(request, entry.task, thread) })
      }
    }
    return chosen
  }

  /** Loads the records of the chosen jobs. @returns null if one cannot be read: the queue leaves it out from now on */
  function load(chosen: readonly ChosenJob[]): Map<number, StoredRun> | null {
    const stored = new Map<number, StoredRun>()
    let isComplete = true
    for (const key of new Set(chosen.map((entry) => entry.key))) {
      const found = records.read(key)
      if (found !== null) stored.set(key, found)
      else {
        queue.ignore(key)
        isComplete = false
      }
    }
    return isComplete ? stored : null
  }

  function choose(request: ClaimRequest) {
    for (;;) {
      const choice = request.only === 'suspects' ? chooseSuspect(request) : chooseJobs(request)
      const stored = load(choice.chosen)
      // Else chooses again, without the record that cannot be read.
      if (stored !== null) return { ...choice, stored }
    }
  }

  /** Saves each run once. @returns the claimed jobs, in the order of the choice */
  function claim(chosen: readonly ChosenJob[], stored: ReadonlyMap<number, StoredRun>, at: number): ClaimedJob[] {
    const byKey = Map.groupBy(chosen, ({ key }) => key)
    const claimed = new Map<number, Run>()
    for (const [key, before] of stored) {
      claimed.set(key, transaction.save(before, claimJobs(before.run, byKey.get(key) ?? [], at)).run)
    }
    return chosen.map(({ key, jobIndex, runAt }) => {
      const run = claimed.get(key)
      if (run === undefined) throw new Error(`the record ${key} was not loaded`)
      const job = jobAt(run, jobIndex)
      const after = resultsFor(run, job, (other, otherIndex) => payloads.result(key, otherIndex, other))
      const input = payloads.input(key, jobIndex, job)
      return claimedJob(run, jobIndex, { input, after, waitedMs: at - runAt })
    })
  }

  function noteStarts(chosen: readonly ChosenJob[], rates: Rates, at: number): void {
    for (const [task, rate] of Object.entries(rates)) {
      const count = chosen.filter((entry) => entry.task === task).length
      if (count > 0) taskStarts.add(task, rate, count, at)
    }
  }

  /** Tasks whose rate is used up, and until when. */
  function usedUp(rates: Rates, at: number): Map<string, number> {
    const found = new Map<string, number>()
    for (const [task, rate] of Object.entries(rates)) {
      const { until } = taskStarts.allowance(task, rate, at)
      if (until !== null) found.set(task, until)
    }
    return found
  }

  /** When the next job may start that waits for the rate of its task; Infinity without one. */
  function nextWithinRate(openKinds: readonly TaskKind[], ratedUntil: ReadonlyMap<string, number>): number {
    const tasks = openKinds.flatMap((kind) => queue.priorities(kind).flatMap((priority) => queue.tasks(kind, priority)))
    return Math.min(...tasks.map((task) => ratedUntil.get(task) ?? Infinity))
  }

  return (request) => {
    const { rates, at } = request
    const { chosen, stored, nextDueAt, openKinds } = choose(request)
    const jobs = claim(chosen, stored, at)
    if (rates === undefined) return { jobs, nextDueAt: orNull(nextDueAt) }
    noteStarts(chosen, rates, at)
    const ratedUntil = usedUp(rates, at)
    const next = Math.min(nextDueAt, nextWithinRate(openKinds, ratedUntil))
    return { jobs, nextDueAt: orNull(next), ratedUntil: Object.fromEntries(ratedUntil) }
  }
}

function orNull(instant: number): number | null {
  return instant === Infinity ? null : instant
}
