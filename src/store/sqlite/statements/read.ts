/** The reading verbs: one run, a page of runs, the totals. */
import type { DatabaseSync } from 'node:sqlite'
import type { RunRecord } from '../../../domain/run.ts'
import { ownsClaim } from '../../../domain/run/transitions.ts'
import type { SearchWord } from '../../search-words.ts'
import {
  jobInput,
  jobRecord,
  listedRun,
  maxCountedAhead,
  maxPageJobs,
  type Outside,
  runRecord,
  type TextOf,
} from '../../run-record.ts'
import { storeStats } from '../../totals.ts'
import type { RunFilter, RunPage } from '../../store.ts'
import { listQuery } from './lists.ts'
import type { ReadVerb, Verbs } from '../messages.ts'
import { createSearchRuns } from '../search/find-runs.ts'
import { idOfBytes, prepareSelect } from '../connection/rows.ts'
import { waitingOf } from './queue.ts'
import type { RecordRow } from './records.ts'
import type { Transaction } from '../writing/transaction.ts'

type ListedRow = Pick<RecordRow, 'key' | 'id'>

export function createReads(database: DatabaseSync, transaction: Transaction): Verbs<ReadVerb> {
  const { records, payloads, steps, queue, totals, lists, deliveries, schedules } = transaction
  const textsOf = (key: number): TextOf => {
    return (index, apart) => payloads.text(key, index, apart)
  }
  const outsideOf = (key: number): Outside => ({
    textOf: textsOf(key),
    stepsOf: (index) => steps.list(key, index),
  })

  const searchRuns = transaction.search && createSearchRuns(database, transaction.search)

  function searchPage(filter: RunFilter, words: readonly SearchWord[]): RunPage {
    if (searchRuns === null) throw new Error('there is no index for search')
    const taskId = filter.task === undefined ? null : lists.taskId(filter.task)
    const { keys, hasMore, lastId } = searchRuns(filter, words, taskId)
    const runs: RunRecord[] = []
    let jobs = 0
    for (const key of keys) {
      if (jobs >= maxPageJobs) return { runs, hasMore: true }
      const stored = records.read(key)
      if (stored === null) continue
      runs.push(listedRun(stored.run, textsOf(key)))
      jobs += stored.run.jobs.length
    }
    return { runs, hasMore, ...(lastId !== null && { lastId }) }
  }

  function readPage(filter: RunFilter): RunPage & { readonly lastId: string } {
    const taskId = filter.task === undefined ? null : lists.taskId(filter.task)
    const { sql, values } = listQuery(filter, { runs: totals.current().runs, taskId })
    // Selects keys alone: a sort would carry the records along, and a page has only the first ones of large runs.
    const rows = prepareSelect<ListedRow>(database, 'record.key, record.id', sql)(...values)
    const runs: RunRecord[] = []
    let [jobs, read] = [0, 0]
    for (const { key } of rows.slice(0, filter.pageSize)) {
      if (jobs >= maxPageJobs) break
      read += 1
      const stored = records.read(key)
      if (stored === null) continue
      runs.push(listedRun(stored.run, textsOf(key)))
      jobs += stored.run.jobs.length
    }
    const last = rows[read - 1]
    return { runs, hasMore: rows.length > read, lastId: last === undefined ? '' : idOfBytes(last.id) }
  }

  return {
    getRun(id) {
      const stored = records.find(id)
      if (stored === null) return null
      const { key, run } = stored
      return runRecord(run, outsideOf(key), run.webhook === null ? [] : deliveries.of(key))
    },
    getJob(runId, jobIndex) {
      const stored = records.find(runId)
      const job = stored?.run.jobs[jobIndex]
      return stored === null || job === undefined ? null : jobRecord(stored.run, job, jobIndex, outsideOf(stored.key))
    },
    chunksOf: transaction.lines.chunksOf,
    minutesOf: transaction.minutes.read,
    stepsOf(claim, from) {
      const stored = records.find(claim.runId)
      return stored === null || !ownsClaim(stored.run, claim) ? null : steps.page(stored.key, claim.jobIndex, from)
    },
    countAhead(runId, jobIndex, at) {
      const stored = records.find(runId)
      const job = stored?.run.jobs[jobIndex]
      const waiting = stored === null || job === undefined ? null : waitingOf(stored.key, job, jobIndex)
      return waiting && queue.ahead(waiting, at, maxCountedAhead)
    },
    getInput(runId, jobIndex) {
      const stored = records.find(runId)
      const job = stored?.run.jobs[jobIndex]
      return stored === null || job === undefined ? null : jobInput(job, jobIndex, textsOf(stored.key))
    },
    listRuns(filter) {
      if (filter.words !== undefined) return searchPage(filter, filter.words)
      let page = readPage(filter)
      // Skips pages without a readable run: the next page begins after the last run of this one.
      while (page.runs.length === 0 && page.hasMore) page = readPage({ ...filter, beforeId: page.lastId })
      return { runs: page.runs, hasMore: page.hasMore }
    },
    findKey: transaction.keys.find,
    getSchedule: schedules.find,
    listSchedules: schedules.all,
    dueSchedules: (at) => ({ due: schedules.dueAt(at), nextAt: schedules.nextAfter(at) }),
    stats(at) {
      return storeStats(totals.current(), totals.live(), queue.oldestDueAt(at), queue.unknownTasks(), at)
    },
  }
}
