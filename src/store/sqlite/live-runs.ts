/**
 * The rows of runs that were accepted here and are not finished, and of every job that runs, kept in memory: what is
 * claimed or settled next need not be read before. Jobs are written as they change; the row of their run once per
 * commit, however often it changes in it. Of large runs only the jobs that run are kept, large results are not, and
 * everything here can be dropped at any time between commits: the tables have it all.
 */
import type { DatabaseSync } from 'node:sqlite'
import { runColumns, type JobRow, type RunRow } from '../rows.ts'
import { prepareSelect } from './select.ts'

export interface LiveRun {
  readonly run: RunRow
  readonly jobs: readonly JobRow[]
}

export interface LiveRuns {
  /** A run that was just inserted. */
  add(run: RunRow, jobs: readonly JobRow[]): void
  /** The run with all its jobs, when it is kept. */
  find(runId: string): LiveRun | undefined
  /** A job that was just claimed, without its input. */
  noteClaimed(job: JobRow): void
  /** The job, when it is kept. */
  findJob(runId: string, jobIndex: number): JobRow | undefined
  /** What was just written of a job, whose claim is over with that. */
  noteJob(runId: string, jobIndex: number, changed: Partial<JobRow>): void
  /** The row of a run, kept or not. */
  run(runId: string): RunRow
  /** Sees to it that a run's row is written in this commit. */
  saveRun(run: RunRow): void
  /** Writes what is not written yet; call before anything else reads the table, and before the commit. */
  flush(): void
  /** Forgets everything. Call when the transaction was taken back, or when it has written these rows elsewhere. */
  clear(): void
}

interface Kept {
  run: RunRow
  /** By index. */
  readonly jobs: Map<number, JobRow>
  /** Whether all of the run's jobs are here; otherwise those that run. */
  readonly isWhole: boolean
}

const maxRuns = 4_096
const maxJobsPerRun = 16
/** Characters of a result. */
const maxResult = 4_096

export function createLiveRuns(database: DatabaseSync): LiveRuns {
  const live = new Map<string, Kept>()
  const unwritten = new Set<string>()
  const selectRun = prepareSelect<RunRow>(database, runColumns, 'FROM run WHERE id = ?')
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

  function read(runId: string): RunRow {
    const [run] = selectRun(runId)
    if (run === undefined) throw new Error(`the run ${runId} is gone, and its jobs are not`)
    return run
  }

  return {
    add(run, jobs) {
      if (jobs.length > maxJobsPerRun) return
      // The oldest one first.
      for (const [runId] of live) {
        if (live.size < maxRuns) break
        drop(runId)
      }
      live.set(run.id, { run, jobs: new Map(jobs.map((job) => [job.job_index, job])), isWhole: true })
    },
    find(runId) {
      const kept = live.get(runId)
      return kept?.isWhole === true ? { run: kept.run, jobs: [...kept.jobs.values()] } : undefined
    },
    noteClaimed(job) {
      const { run_id: runId } = job
      const kept = live.get(runId) ?? { run: read(runId), jobs: new Map<number, JobRow>(), isWhole: false }
      live.set(runId, kept)
      kept.jobs.set(job.job_index, job)
    },
    findJob: (runId, jobIndex) => live.get(runId)?.jobs.get(jobIndex),
    noteJob(runId, jobIndex, changed) {
      const kept = live.get(runId)
      const job = kept?.jobs.get(jobIndex)
      if (kept === undefined || job === undefined) return
      if (kept.isWhole) kept.jobs.set(jobIndex, { ...job, ...changed })
      else kept.jobs.delete(jobIndex)
      if ((changed.result?.length ?? 0) > maxResult) drop(runId)
    },
    run: (runId) => live.get(runId)?.run ?? read(runId),
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
        if (kept.run.state !== 'running' || kept.jobs.size === 0) live.delete(runId)
      }
      unwritten.clear()
    },
    clear() {
      live.clear()
      unwritten.clear()
    },
  }
}
