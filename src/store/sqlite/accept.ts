/** Writes a run with all its jobs; job 0 is born claimed when the main thread is to run it. */
import type { ClaimedJob } from '../../domain/claim.ts'
import type { AcceptReport, NewRun } from '../store.ts'
import type { Session } from './session.ts'

const firstClaim = 1

export function createAccept({ database, tally, priorities, keys, owner }: Session) {
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
    const total = run.jobs.length
    insertRun.run(run.id, run.respond, total, total, run.onFirstFailure, JSON.stringify(run.tags))
    for (const tag of run.tags) insertTag.run(tag, run.id)
    tally.countRun(null, 'running')
    let first: ClaimedJob | null = null
    for (const [index, job] of run.jobs.entries()) {
      const isClaimed = index === 0 && run.claimsFirst
      const state = isClaimed ? 'running' : 'queued'
      insertJob.run(
        run.id,
        index,
        job.task,
        job.kind,
        state,
        job.priority,
        job.timeoutMs,
        isClaimed ? 1 : 0,
        job.maxAttempts,
        isClaimed ? firstClaim : 0,
        isClaimed ? owner : null,
        isClaimed ? 'main' : null,
        at,
        isClaimed ? null : at + job.delayMs,
        isClaimed ? at : null,
        job.input,
      )
      tally.countJob(null, state)
      priorities.add(job.kind, job.priority)
      if (isClaimed) {
        const { task, kind, input, timeoutMs, maxAttempts } = job
        const started = { claim: firstClaim, thread: 'main', attempt: 1, lostStarts: 0, waitedMs: 0 }
        first = { runId: run.id, jobIndex: index, task, kind, input, timeoutMs, maxAttempts, ...started }
      }
    }
    return { result: 'accepted', first }
  }
}
