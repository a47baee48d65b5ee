/**
 * The rows that one transaction has locked, in memory: verbs move jobs here, one after the other, and what became of
 * the rows is written at the end in one statement.
 */
import type { Claim } from '../../domain/claim.ts'
import { isFinalJob } from '../../domain/job.ts'
import { createChanges } from '../changes.ts'
import { endsOthers, voidedClaim, movedJob, movedRun, withFirst, type Move, type MovedJob } from './moves.ts'
import type { RunChange } from '../../domain/run.ts'
import type { JobRow, RunRow } from './rows.ts'
import { countJob, countRun, createCounts, type Counts } from './counts.ts'

export interface JobKey {
  readonly runId: string
  readonly jobIndex: number
}

export interface Unit {
  readonly counts: Counts
  /** In the state in which earlier moves left it; undefined where it was not locked. */
  job(key: JobKey): JobRow | undefined
  /** Those of the run that were locked, in order. */
  jobsOf(runId: string): JobRow[]
  jobs(): JobRow[]
  /** Moves a job and its run. It ends whoever owned the job. */
  move(job: JobRow, move: Move, at: number): void
  /** One of the run's jobs was claimed. */
  touch(runId: string): void
  /** What is to be written. */
  movedJobs(): MovedJob[]
  changedRuns(): RunRow[]
  takeChanges(): RunChange[]
  /** The claims of jobs that were running and are cancelled. */
  voided(): readonly Claim[]
  /** Whether jobs wait now that did not before: `due` ones can be claimed. */
  waiting(): 'none' | 'later' | 'due'
}

export function createUnit(jobRows: readonly JobRow[], runRows: readonly RunRow[]): Unit {
  const jobs = new Map(jobRows.map((job) => [nameOf(job.run_id, job.job_index), job]))
  const runs = new Map(runRows.map((run) => [run.id, run]))
  const moved = new Map<string, MovedJob>()
  const changed = new Set<string>()
  const changes = createChanges()
  const voided: Claim[] = []
  const counts = createCounts()
  let waiting: 'none' | 'later' | 'due' = 'none'

  function runOf(id: string): RunRow {
    const run = runs.get(id)
    if (run === undefined) throw new Error(`the run ${id} of a job is not there`)
    return run
  }

  function change(run: RunRow, ended?: Claim): void {
    runs.set(run.id, run)
    changed.add(run.id)
    const { id: runId, version, state, answer_status: status } = run
    const ends = ended === undefined ? [] : [ended]
    changes.note({ runId, version, state, isAnswered: status !== null, voided: ends })
    voided.push(...ends)
  }

  const jobsOf = (runId: string): JobRow[] => [...jobs.values()].filter((job) => job.run_id === runId)

  function move(job: JobRow, step: Move, at: number): void {
    const name = nameOf(job.run_id, job.job_index)
    const after = movedJob(job, step, at)
    const before = runOf(job.run_id)
    const run = movedRun(before, job, step, at)
    jobs.set(name, { ...job, ...after })
    moved.set(name, after)
    countJob(counts, job.state, after.state)
    if (run.state !== before.state) countRun(counts, before.state, run.state)
    if (after.run_at !== null && waiting !== 'due') waiting = after.state === 'queued' ? 'due' : 'later'
    change(run, voidedClaim(job, step))
    if (!endsOthers(run, job, step)) return
    for (const other of jobsOf(run.id)) if (!isFinalJob(other.state)) move(other, withFirst, at)
  }

  return {
    counts,
    job: ({ runId, jobIndex }) => jobs.get(nameOf(runId, jobIndex)),
    jobsOf,
    jobs: () => [...jobs.values()],
    move,
    touch(runId) {
      const run = runOf(runId)
      change({ ...run, version: run.version + 1 })
    },
    movedJobs: () => [...moved.values()],
    changedRuns: () => [...changed].map(runOf),
    takeChanges: changes.take,
    voided: () => voided,
    waiting: () => waiting,
  }
}

export function nameOf(runId: string, jobIndex: number): string {
  return `${runId}/${jobIndex}`
}
