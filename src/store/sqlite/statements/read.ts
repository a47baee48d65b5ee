/** The reading verbs; `lists.ts` has the pages of runs. */
import type { DatabaseSync } from 'node:sqlite'
import type { Job } from '../../../domain/run/aggregate.ts'
import { ownsClaim } from '../../../domain/run/transitions.ts'
import { jobInput, jobRecord, maxCountedAhead, type Outside, runRecord } from '../../run-record.ts'
import { storeStats } from '../../totals.ts'
import { createPages } from './lists.ts'
import type { ReadVerb, Verbs } from '../messages.ts'
import { waitingOf } from './queue.ts'
import type { StoredRun } from './records.ts'
import type { Transaction } from '../writing/transaction.ts'

export function createReads(database: DatabaseSync, transaction: Transaction): Verbs<ReadVerb> {
  const { records, payloads, steps, queue, totals, deliveries, schedules } = transaction

  const outsideOf = (key: number): Outside => ({
    textOf: (index, apart) => payloads.text(key, index, apart),
    stepsOf: (index) => steps.list(key, index),
  })

  /** null where there is no such job. */
  function ofJob<Value>(runId: string, index: number, view: (job: Job, stored: StoredRun) => Value): Value | null {
    const stored = records.find(runId)
    const job = stored?.run.jobs[index]
    return stored === null || job === undefined ? null : view(job, stored)
  }

  return {
    getRun(id) {
      const stored = records.find(id)
      if (stored === null) return null
      const { key, run } = stored
      return runRecord(run, outsideOf(key), run.webhook === null ? [] : deliveries.of(key))
    },
    getJob: (runId, index) => ofJob(runId, index, (job, { key, run }) => jobRecord(run, job, index, outsideOf(key))),
    getInput: (runId, index) => ofJob(runId, index, (job, { key }) => jobInput(job, index, outsideOf(key).textOf)),
    countAhead: (runId, index, at) =>
      ofJob(runId, index, (job, { key }) => {
        const waiting = waitingOf(key, job, index)
        return waiting && queue.ahead(waiting, at, maxCountedAhead)
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
    stats: (at) => storeStats(totals.current(), totals.live(), queue.oldestDueAt(at), queue.unknownTasks(), at),
  }
}
