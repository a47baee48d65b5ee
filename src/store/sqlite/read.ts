/** The reading verbs: one run, a page of runs, the totals. */
import type { DatabaseSync } from 'node:sqlite'
import type { RunRecord } from '../../domain/run.ts'
import { maxPageJobs } from '../bounds.ts'
import { jobRecord, listedRun, runRecord, type TextOf } from '../run-record.ts'
import { listQuery } from './list-query.ts'
import type { ReadVerb, Verbs } from './messages.ts'
import { prepareSelect } from './select.ts'
import { asStoredRun, recordColumns, type RecordRow } from './tables/records.ts'
import type { Transaction } from './transaction.ts'

export function createReads(database: DatabaseSync, transaction: Transaction): Verbs<ReadVerb> {
  const { records, payloads, queue, totals, lists } = transaction
  const textsOf = (key: number): TextOf => {
    return (index, apart) => payloads.text(key, index, apart)
  }

  return {
    getRun(id) {
      const stored = records.find(id)
      return stored === null ? null : runRecord(stored.run, textsOf(stored.key))
    },
    getJob(runId, jobIndex) {
      const stored = records.find(runId)
      const job = stored?.run.jobs[jobIndex]
      return stored === null || job === undefined ? null : jobRecord(job, jobIndex, textsOf(stored.key))
    },
    listRuns(filter) {
      const taskId = filter.task === undefined ? null : lists.taskId(filter.task)
      const { sql, values } = listQuery(filter, { runs: totals.current().runs, taskId })
      const rows = prepareSelect<RecordRow>(database, recordColumns, sql)(...values)
      const runs: RunRecord[] = []
      let jobs = 0
      for (const row of rows.slice(0, filter.pageSize)) {
        if (jobs >= maxPageJobs) break
        const { key, run } = asStoredRun(row)
        runs.push(listedRun(run, textsOf(key)))
        jobs += run.jobs.length
      }
      return { runs, hasMore: rows.length > runs.length }
    },
    stats(at) {
      const { accepted, final, runs, jobs } = totals.current()
      const live = totals.live()
      const oldestQueuedMs = at - queue.oldestDueAt(at)
      return {
        runs,
        jobs,
        oldestQueuedMs: Number.isFinite(oldestQueuedMs) ? oldestQueuedMs : null,
        unknownTasks: queue.unknownTasks(),
        conservation: { accepted, final, live, lost: accepted - final - live },
      }
    },
  }
}
