/** The verbs of the store, as its thread runs them. A verb that writes loads records, changes them by the rules, and saves them. */
import type { DatabaseSync } from 'node:sqlite'
import type { Claim } from '../../domain/claim.ts'
import { jobAt, type Run } from '../../domain/run/aggregate.ts'
import { acceptRun, refuseRun } from '../../domain/run/new-run.ts'
import {
  boundDueTimes,
  claimedJob,
  expireJobs,
  noteLeaving,
  ownsClaim,
  rescueJobs,
  shiftDueTimes,
} from '../../domain/run/transitions.ts'
import { cancel, complete, type VerbResult, fail, keepStep, release, retry } from '../../domain/run/verbs.ts'
import { createRemovalBound } from '../apart.ts'
import { jobInput, jobRecord, maxCountedAhead, type Outside, runRecord } from '../run-record.ts'
import { storeStats } from '../totals.ts'
import type { ReadVerb, Verbs, WriteVerb } from './messages.ts'
import { createPages } from './statements/lists.ts'
import { queueEntry } from './statements/queue.ts'
import type { StoredRun } from './statements/records.ts'
import { createClaim } from './writing/claim.ts'
import type { Transaction } from './writing/transaction.ts'

/** Bound on the runs whose jobs expire in one transaction. */
const runsPerExpiry = 200
/** Number of changed runs that stay in memory before they are written. */
const runsPerFlush = 1_000

export function createWritingVerbs(transaction: Transaction): Verbs<Exclude<WriteVerb, 'checkWritable'>> {
  const { records, queue, payloads, lines, minutes, keys, pausedTasks, taskStarts, deliveries, schedules } = transaction
  // Jobs that run when the file is opened belong to a dead process, because only one process owns the file. The number of a
  // claim distinguishes them from jobs that this process claims later.
  const claimsOfDead = new Map(readRuns(records.heldKeys()).map(({ key, run }) => [key, runningClaims(run)]))
  const isOfDead = (key: number, { jobIndex, claim }: JobClaim): boolean =>
    claimsOfDead.get(key)?.some((dead) => dead.jobIndex === jobIndex && dead.claim === claim) === true

  /** Leaves out runs that cannot be read. */
  function readRuns(recordKeys: readonly number[]): StoredRun[] {
    return recordKeys.map(records.read).filter((stored) => stored !== null)
  }

  function apply<Value>(runId: string, verb: (run: Run | null) => VerbResult<Value>): Value {
    const stored = records.find(runId)
    const { run, value } = verb(stored && stored.run)
    if (stored !== null && run !== null) transaction.save(stored, run)
    return value
  }

  /** Changes the runs with jobs that are due after the instant. */
  function changeWaiting(after: number, change: (run: Run) => Run): void {
    transaction.flush()
    for (const [index, key] of queue.runsDueAfter(after).entries()) {
      const stored = records.read(key)
      if (stored !== null) transaction.save(stored, change(stored.run))
      if ((index + 1) % runsPerFlush === 0) transaction.flush()
    }
  }

  return {
    accept(run, at) {
      const known = keys.claim(run, at)
      if (known !== null) return known
      const stored = transaction.add(acceptRun(run, at))
      if (run.refusal !== undefined) transaction.save(stored, refuseRun(stored.run, run.refusal, at))
      if (!run.claimsFirst) return { result: 'accepted', first: null }
      const input = payloads.input(stored.key, 0, jobAt(stored.run, 0))
      return { result: 'accepted', first: claimedJob(stored.run, 0, { input }) }
    },
    changeSchedule({ run, ...change }, at) {
      const result = schedules.change(change)
      if (result === 'changed' && run !== null) transaction.add(acceptRun(run, at))
      return result
    },
    claim: createClaim(transaction),
    complete: (claim, ...rest) => apply(claim.runId, (run) => complete(run, claim, ...rest)),
    fail: (claim, ...rest) => apply(claim.runId, (run) => fail(run, claim, ...rest)),
    release: (claim, at) => apply(claim.runId, (run) => release(run, claim, at)),
    cancel: (runId, jobIndex, at) => apply(runId, (run) => cancel(run, jobIndex, at)),
    retry: (runId, jobIndex, at) => apply(runId, (run) => retry(run, jobIndex, at)),
    expire(at) {
      transaction.flush()
      let expired = 0
      for (const key of queue.expiredRuns(at, runsPerExpiry)) {
        const stored = records.read(key)
        if (stored === null) queue.ignore(key)
        else if (transaction.save(stored, expireJobs(stored.run, at)) !== stored) expired += 1
      }
      return expired
    },
    keepStep(claim, step, at) {
      const report = apply(claim.runId, (run) => keepStep(run, claim, step))
      if (report === 'kept') transaction.addStep(claim, step, at)
      return report
    },
    keepLines(chunks, at) {
      for (const chunk of chunks) lines.add(chunk, at)
    },
    pruneLines: lines.prune,
    addMinutes: minutes.add,
    pruneMinutes: minutes.prune,
    defer: keys.defer,
    setPaused: pausedTasks.set,
    remove(runId) {
      const stored = records.find(runId)
      if (stored === null) return 'not-found'
      if (stored.run.state === 'running') return 'active'
      transaction.flush()
      transaction.remove(stored)
      return 'removed'
    },
    leave(at) {
      let held = 0
      transaction.flush()
      for (const stored of readRuns(records.heldKeys())) {
        const isOurs = (claim: JobClaim): boolean => !isOfDead(stored.key, claim)
        held += runningClaims(stored.run).filter(isOurs).length
        transaction.save(stored, noteLeaving(stored.run, isOurs, at))
      }
      return held
    },
    shiftDueTimes(byMs) {
      changeWaiting(Number.MIN_SAFE_INTEGER, (run) => shiftDueTimes(run, byMs))
      keys.shift(byMs)
      deliveries.shift(byMs)
      taskStarts.shift(byMs)
    },
    rescue(at) {
      let requeued = 0
      let crashed = 0
      for (const key of claimsOfDead.keys()) {
        const stored = records.findByKey(key)
        if (stored === null) continue
        const isHeldByDead = (claim: JobClaim): boolean => isOfDead(key, claim)
        const { run } = transaction.save(stored, rescueJobs(stored.run, isHeldByDead, at))
        for (const { jobIndex } of runningClaims(stored.run).filter(isHeldByDead)) {
          const { state } = jobAt(run, jobIndex)
          requeued += Number(state === 'queued')
          crashed += Number(state === 'failed')
        }
      }
      changeWaiting(at, (run) => boundDueTimes(run, at))
      keys.bound(at)
      deliveries.bound(at)
      taskStarts.bound(at)
      transaction.flush()
      return { requeued, crashed, suspects: queue.suspects() }
    },
    prune(finishedBefore, limit, at) {
      const mayRemove = createRemovalBound()
      let pruned = 0
      let found: readonly number[]
      transaction.flush()
      do {
        found = records.finishedBefore(finishedBefore, limit)
        for (const key of found) {
          const stored = records.read(key)
          if (stored === null) continue
          if (!mayRemove(stored.run)) break
          pruned += 1
          transaction.remove(stored)
        }
        // Looks again if none of them can be read: from now on they are left out.
      } while (pruned === 0 && found.length > 0)
      return pruned + keys.prune(limit, at)
    },
    claimDeliveries: deliveries.claim,
    endDeliveryTry(delivery, result) {
      const key = records.keyOf(delivery.runId)
      if (key !== undefined) deliveries.endTry(key, delivery, result)
    },
    retryDelivery(runId, version, at) {
      const stored = records.find(runId)
      return stored !== null && deliveries.retry(stored.key, version, at)
    },
    releaseDeliveries(kept) {
      deliveries.release(
        kept.flatMap(({ runId, version }) => {
          const key = records.keyOf(runId)
          return key === undefined ? [] : [[key, version] as const]
        }),
      )
    },
  }
}

type JobClaim = Pick<Claim, 'jobIndex' | 'claim'>

/** The claims under which jobs of the run are running. */
function runningClaims({ jobs }: Run): JobClaim[] {
  return jobs.flatMap(({ state, claim }, jobIndex) => (state === 'running' ? [{ jobIndex, claim }] : []))
}

export function createReadingVerbs(database: DatabaseSync, transaction: Transaction): Verbs<ReadVerb> {
  const { records, payloads, steps, queue, totals, deliveries, schedules } = transaction

  const outsideOf = (key: number): Outside => ({
    textOf: (index, apart) => payloads.text(key, index, apart),
    stepsOf: (index) => steps.list(key, index),
  })

  /** @returns null if there is no such job */
  function viewJob<Value>(runId: string, index: number, view: (stored: StoredRun) => Value): Value | null {
    const stored = records.find(runId)
    return stored?.run.jobs[index] === undefined ? null : view(stored)
  }

  return {
    getRun(id) {
      const stored = records.find(id)
      if (stored === null) return null
      const { key, run } = stored
      return runRecord(run, outsideOf(key), run.webhook === null ? [] : deliveries.of(key))
    },
    getJob: (runId, index) => viewJob(runId, index, ({ key, run }) => jobRecord(run, index, outsideOf(key))),
    getInput: (runId, index) => viewJob(runId, index, ({ key, run }) => jobInput(run, index, outsideOf(key).textOf)),
    countAhead: (runId, index, at) =>
      viewJob(runId, index, ({ key, run }) => {
        const entry = queueEntry(key, jobAt(run, index), index)
        return entry && queue.countAhead(entry, at, maxCountedAhead)
      }),
    stepsOf(claim, from) {
      const stored = records.find(claim.runId)
      return stored === null || !ownsClaim(stored.run, claim) ? null : steps.page(stored.key, claim.jobIndex, from)
    },
    chunksOf: transaction.lines.chunksOf,
    minutesOf: transaction.minutes.read,
    listRuns: createPages(database, transaction),
    findKey: transaction.keys.find,
    getSchedule: schedules.find,
    listSchedules: schedules.all,
    dueSchedules: (at) => ({ due: schedules.dueAt(at), nextAt: schedules.nextAfter(at) }),
    stats(at) {
      const [live, oldestDueAt, unknownTasks] = [totals.live(), queue.oldestDueAt(at), queue.unknownTasks()]
      return storeStats({ totals: totals.current(), live, oldestDueAt, unknownTasks }, at)
    },
  }
}
