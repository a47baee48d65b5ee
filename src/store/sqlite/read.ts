/** The reading verbs: one run, a page of runs, the totals. */
import type { JobRecord } from '../../domain/job.ts'
import type { RunRecord } from '../../domain/run.ts'
import { taskKinds } from '../../domain/task.ts'
import type { RunFilter, RunPage, StoreStats } from '../store.ts'
import { listQuery } from './list-query.ts'
import { asRunRow, jobColumns, jobRecord, runColumns, runRecord, type JobRow, type RunRow } from '../rows.ts'
import { boundedColumns, boundedJobs, firstOf, listedColumns, listedJob } from '../bounds.ts'
import { prepareSelect } from './select.ts'
import { markedKinds } from './unknown-tasks.ts'
import type { Session } from './session.ts'

export function createRead({ database, tally, priorities, liveRuns, unknownTasks }: Session) {
  const selectRun = prepareSelect<RunRow>(database, runColumns, 'FROM run WHERE id = ?')
  const ofRun = 'FROM job WHERE run_id = ? ORDER BY job_index'
  const selectJobs = prepareSelect<JobRow>(database, boundedColumns, ofRun)
  const selectJob = prepareSelect<JobRow>(
    database,
    `${jobColumns}, result`,
    'FROM job WHERE run_id = ? AND job_index = ?',
  )
  const selectJobsBare = prepareSelect<JobRow>(database, listedColumns, ofRun)
  const selectOldestDue = database.prepare(
    'SELECT min(run_at) AS at FROM job WHERE kind = ? AND priority = ? AND run_at <= ?',
  )

  function listed(run: RunRow): RunRecord {
    return runRecord(run, selectJobsBare(run.id).map(listedJob))
  }

  return {
    getRun(id: string): RunRecord | null {
      const live = liveRuns.find(id)
      if (live !== undefined) return runRecord(live.run, boundedJobs(live.jobs))
      const [run] = selectRun(id)
      return run === undefined ? null : runRecord(run, boundedJobs(selectJobs(id)))
    },

    getJob(runId: string, jobIndex: number): JobRecord | null {
      const [job] = selectJob(runId, jobIndex)
      return job === undefined ? null : jobRecord(job)
    },

    listRuns(filter: RunFilter): RunPage {
      const { sql, values } = listQuery(filter, filter.state === undefined ? 0 : tally.totals().runs[filter.state])
      const rows = database
        .prepare(sql)
        .all(...values)
        .map(asRunRow)
      const page = firstOf(rows.slice(0, filter.pageSize))
      return { runs: page.map(listed), hasMore: rows.length > page.length }
    },

    stats(at: number): StoreStats {
      const { accepted, final, runs, jobs } = tally.totals()
      const live = tally.live()
      const dueAt = [...taskKinds, ...markedKinds]
        .flatMap((kind) => priorities.of(kind).map((priority) => selectOldestDue.get(kind, priority, at)?.['at']))
        .filter((value) => typeof value === 'number')
      const oldestQueuedMs = dueAt.length === 0 ? null : at - Math.min(...dueAt)
      return {
        runs,
        jobs,
        oldestQueuedMs,
        unknownTasks: unknownTasks.counts(),
        conservation: { accepted, final, live, lost: accepted - final - live },
      }
    },
  }
}
