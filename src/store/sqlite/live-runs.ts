/**
 * The rows of runs that were accepted here and are not finished, kept in memory: what is claimed or settled next need
 * not be read before. Their jobs are written as they change; the row of the run once per commit, however often it
 * changes in it. Large runs and large results are not kept, and everything here can be dropped at any time between
 * commits: the tables have it all.
 */
import type { DatabaseSync } from 'node:sqlite'
import { asRunRow, runColumns, type JobRow, type RunRow } from '../rows.ts'

export interface LiveRun {
  readonly run: RunRow
  readonly jobs: readonly JobRow[]
}

export interface LiveRuns {
  /** A run that was just inserted. */
  add(run: RunRow, jobs: readonly JobRow[]): void
  /** The run with all its jobs, when it is kept. */
  find(runId: string): LiveRun | undefined
  /** The job, when its run is kept. */
  findJob(runId: string, jobIndex: number): JobRow | undefined
  /** What was just written of a job. */
  noteJob(runId: string, jobIndex: number, changed: Partial<JobRow>): void
  /** The row of a run, kept or not. */
  run(runId: string): RunRow
  /** Sees to it that a run's row is written in this commit. */
  saveRun(run: RunRow): void
  /** Writes what is not written yet; call before anything else reads the table, and before the commit. */
  flush(): void
  /** Call when the transaction was taken back. */
  clear(): void
}

const maxRuns = 4_096
const maxJobsPerRun = 16
/** Characters of a result. */
const maxResult = 4_096

export function createLiveRuns(database: DatabaseSync): LiveRuns {
  const live = new Map<string, { run: RunRow; readonly jobs: JobRow[] }>()
  const unwritten = new Set<string>()
  const selectRun = database.prepare(`SELECT ${runColumns} FROM run WHERE id = ?`)
  const updateRun = database.prepare(`
    UPDATE run SET state = ?, version = ?, open_jobs = ?, failed_jobs = ?, cancelled_jobs = ?,
      answer_job = ?, answer_status = ?, responded_at = ?, finished_at = ?
    WHERE id = ?`)

  function write(run: RunRow): void {
    updateRun.run(
      run.state,
      run.version,
      run.open_jobs,
      run.failed_jobs,
      run.cancelled_jobs,
      run.answer_job,
      run.answer_status,
      run.responded_at,
      run.finished_at,
      run.id,
    )
  }

  function drop(runId: string): void {
    const kept = live.get(runId)
    if (kept !== undefined && unwritten.delete(runId)) write(kept.run)
    live.delete(runId)
  }

  return {
    add(run, jobs) {
      if (jobs.length > maxJobsPerRun) return
      // The oldest one first.
      for (const [runId] of live) {
        if (live.size < maxRuns) break
        drop(runId)
      }
      live.set(run.id, { run, jobs: [...jobs] })
    },
    find: (runId) => live.get(runId),
    findJob: (runId, jobIndex) => live.get(runId)?.jobs[jobIndex],
    noteJob(runId, jobIndex, changed) {
      const jobs = live.get(runId)?.jobs
      const job = jobs?.[jobIndex]
      if (jobs === undefined || job === undefined) return
      jobs[jobIndex] = { ...job, ...changed }
      if ((changed.result?.length ?? 0) > maxResult) drop(runId)
    },
    run: (runId) => live.get(runId)?.run ?? asRunRow(selectRun.get(runId) ?? {}),
    saveRun(run) {
      const kept = live.get(run.id)
      if (kept === undefined) return write(run)
      kept.run = run
      unwritten.add(run.id)
    },
    flush() {
      for (const runId of unwritten) {
        const kept = live.get(runId)
        if (kept === undefined) continue
        write(kept.run)
        if (kept.run.state !== 'running') live.delete(runId)
      }
      unwritten.clear()
    },
    clear() {
      live.clear()
      unwritten.clear()
    },
  }
}
