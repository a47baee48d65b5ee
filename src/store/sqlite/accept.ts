/** Writes a run with all its jobs; job 0 is born claimed when the main thread is to run it. */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { JobRow, RunRow } from '../rows.ts'
import type { AcceptReport, NewJob, NewRun } from '../store.ts'
import type { Session } from './session.ts'

const firstClaim = 1

export function createAccept({ database, tally, priorities, liveRuns, keys, unknownTasks, owner }: Session) {
  const insertRun = database.prepare(`
    INSERT INTO run (id, state, version, respond, total_jobs, open_jobs, failed_jobs, cancelled_jobs,
      on_first_failure, tags)
    VALUES (?, 'running', 1, ?, ?, ?, 0, 0, ?, ?)`)
  const insertTag = database.prepare('INSERT OR IGNORE INTO run_tag (tag, run_id) VALUES (?, ?)')
  const insertJob = database.prepare(`
    INSERT INTO job (run_id, job_index, task, kind, state, priority, timeout_ms, attempt, max_attempts, claim,
      lost_starts, owner, thread, queued_at, run_at, started_at, failures, input)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, '[]', ?)`)

  return (run: NewRun, at: number): AcceptReport => {
    const known = keys.claim(run, at)
    if (known !== null) return known
    const runRow = newRunRow(run)
    insertRun.run(runRow.id, runRow.respond, runRow.total_jobs, runRow.open_jobs, runRow.on_first_failure, runRow.tags)
    for (const tag of run.tags) insertTag.run(tag, run.id)
    tally.countRun(null, 'running')
    let first: ClaimedJob | null = null
    const jobRows: JobRow[] = []
    for (const [index, job] of run.jobs.entries()) {
      const isClaimed = index === 0 && run.claimsFirst
      const storedKind = isClaimed ? job.kind : unknownTasks.kindOf(job.task, job.kind)
      const row = newJobRow(run.id, index, job, isClaimed, at)
      jobRows.push(row)
      insertJob.run(
        row.run_id,
        row.job_index,
        row.task,
        storedKind,
        row.state,
        row.priority,
        row.timeout_ms,
        row.attempt,
        row.max_attempts,
        row.claim,
        isClaimed ? owner : null,
        row.thread,
        row.queued_at,
        row.run_at,
        row.started_at,
        job.input,
      )
      tally.countJob(null, row.state)
      priorities.add(storedKind, job.priority)
      if (isClaimed) {
        const { task, kind, input, timeoutMs, maxAttempts } = job
        const started = { claim: firstClaim, thread: 'main', attempt: 1, lostStarts: 0, waitedMs: 0 }
        first = { runId: run.id, jobIndex: index, task, kind, input, timeoutMs, maxAttempts, ...started }
      }
    }
    liveRuns.add(runRow, jobRows)
    return { result: 'accepted', first }
  }
}

function newRunRow({ id, respond, onFirstFailure, tags, jobs }: NewRun): RunRow {
  return {
    id,
    state: 'running',
    version: 1,
    respond,
    total_jobs: jobs.length,
    open_jobs: jobs.length,
    failed_jobs: 0,
    cancelled_jobs: 0,
    answer_job: null,
    answer_status: null,
    on_first_failure: onFirstFailure,
    responded_at: null,
    finished_at: null,
    tags: JSON.stringify(tags),
  }
}

/** Without its input, which only a claim reads. */
function newJobRow(runId: string, index: number, job: NewJob, isClaimed: boolean, at: number): JobRow {
  return {
    run_id: runId,
    job_index: index,
    task: job.task,
    kind: job.kind,
    state: isClaimed ? 'running' : 'queued',
    priority: job.priority,
    timeout_ms: job.timeoutMs,
    attempt: isClaimed ? 1 : 0,
    max_attempts: job.maxAttempts,
    claim: isClaimed ? firstClaim : 0,
    lost_starts: 0,
    thread: isClaimed ? 'main' : null,
    queued_at: at,
    run_at: isClaimed ? null : at + job.delayMs,
    started_at: isClaimed ? at : null,
    finished_at: null,
    error: null,
    failures: '[]',
    input: null,
    result: null,
  }
}
