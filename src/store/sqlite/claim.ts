/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. */
import type { ClaimedJob } from '../../domain/claim.ts'
import { moveJob } from '../../domain/job.ts'
import { taskKinds, type TaskKind } from '../../domain/task.ts'
import type { ClaimRequest, ClaimResult } from '../store.ts'
import { claimColumns, type JobRow } from '../rows.ts'
import { isSuspect } from '../moves.ts'
import { slotFor, threadsOf } from '../slots.ts'
import { prepareSelect } from './select.ts'
import type { Session } from './session.ts'

export function createClaim({ database, tally, priorities, liveRuns, changes, owner }: Session) {
  // One range per priority: a single ordering over all of them would wade through jobs that are not due yet.
  const selectDue = prepareSelect<JobRow>(
    database,
    claimColumns,
    'FROM job WHERE kind = ? AND priority = ? AND run_at <= ? ORDER BY run_at LIMIT ?',
  )
  const selectDueExcept = prepareSelect<JobRow>(
    database,
    claimColumns,
    `FROM job
    WHERE kind = ? AND priority = ? AND run_at <= ? AND task NOT IN (SELECT value FROM json_each(?))
    ORDER BY run_at LIMIT ?`,
  )
  const selectLost = prepareSelect<JobRow>(
    database,
    claimColumns,
    'FROM job WHERE lost_starts > 0 AND run_at IS NOT NULL AND run_at <= ? ORDER BY run_at',
  )
  const selectNextDue = database.prepare(
    'SELECT min(run_at) AS at FROM job WHERE kind = ? AND priority = ? AND run_at > ?',
  )
  const updateJob = database.prepare(`
    UPDATE job SET state = 'running', claim = ?, attempt = ?, owner = ?, thread = ?, started_at = ?, run_at = NULL
    WHERE run_id = ? AND job_index = ?`)

  function take(row: JobRow, thread: string, at: number): ClaimedJob {
    tally.countJob(row.state, moveJob(row.state, 'running'))
    const claim = row.claim + 1
    const attempt = row.attempt + 1
    updateJob.run(claim, attempt, owner, thread, at, row.run_id, row.job_index)
    liveRuns.noteClaimed(claimedRow(row, claim, attempt, thread, at))
    return {
      runId: row.run_id,
      jobIndex: row.job_index,
      claim,
      task: row.task,
      kind: row.kind,
      input: row.input,
      thread,
      timeoutMs: row.timeout_ms,
      attempt,
      maxAttempts: row.max_attempts,
      lostStarts: row.lost_starts,
      waitedMs: at - (row.run_at ?? at),
    }
  }

  /** Takes due jobs of one kind, one per thread named, and what it takes off `limits`. */
  function takeDue(kind: TaskKind, threads: readonly string[], at: number, limits: Map<string, number>): ClaimedJob[] {
    const taken: ClaimedJob[] = []
    for (const priority of priorities.of(kind)) {
      let isExhausted = taken.length === threads.length
      while (!isExhausted) {
        const full = [...limits].filter(([, left]) => left <= 0).map(([task]) => task)
        const free = threads.length - taken.length
        const rows =
          full.length === 0
            ? selectDue(kind, priority, at, free)
            : selectDueExcept(kind, priority, at, JSON.stringify(full), free)
        const fitting = rows.filter((row) => takeFromLimit(limits, row.task))
        for (const row of fitting) taken.push(take(row, threads[taken.length] ?? '', at))
        // Another page is worth asking for only when rows of this one were beyond a limit that it reached.
        isExhausted = fitting.length === rows.length
      }
    }
    return taken
  }

  function nextDueAt(kind: TaskKind, at: number): number {
    let next = Infinity
    for (const priority of priorities.of(kind)) {
      const dueAt = selectNextDue.get(kind, priority, at)?.['at']
      if (typeof dueAt === 'number') next = Math.min(next, dueAt)
    }
    return next
  }

  function bumpRuns(jobs: readonly ClaimedJob[]): void {
    for (const runId of new Set(jobs.map((job) => job.runId))) {
      const before = liveRuns.run(runId)
      const run = { ...before, version: before.version + 1 }
      liveRuns.saveRun(run)
      changes.note(run)
    }
  }

  function takeSuspect(request: ClaimRequest): ClaimedJob[] {
    const { at } = request
    const row = selectLost(at).find((lost) => isSuspect(lost) && slotFor(request, lost) !== undefined)
    const slot = row && slotFor(request, row)
    return row === undefined || slot === undefined ? [] : [take(row, slot.thread, at)]
  }

  return (request: ClaimRequest): ClaimResult => {
    const { slots, at } = request
    const jobs: ClaimedJob[] = []
    let next = Infinity
    if (request.only === 'suspects') {
      jobs.push(...takeSuspect(request))
    } else {
      const limits = new Map(Object.entries(request.taskLimits))
      for (const kind of taskKinds) {
        const threads = threadsOf(slots, kind)
        const taken = takeDue(kind, threads, at, limits)
        jobs.push(...taken)
        // Where every slot was filled, the next claim comes when one is free, whatever is due by then.
        if (taken.length < threads.length) next = Math.min(next, nextDueAt(kind, at))
      }
    }
    bumpRuns(jobs)
    return { jobs, nextDueAt: Number.isFinite(next) ? next : null }
  }
}

/** As the table has it now, but for its input. In the order of `JobRow`, as the rows of an accepted run are. */
function claimedRow(row: JobRow, claim: number, attempt: number, thread: string, at: number): JobRow {
  return {
    run_id: row.run_id,
    job_index: row.job_index,
    task: row.task,
    kind: row.kind,
    state: 'running',
    priority: row.priority,
    timeout_ms: row.timeout_ms,
    attempt,
    max_attempts: row.max_attempts,
    claim,
    lost_starts: row.lost_starts,
    thread,
    queued_at: row.queued_at,
    run_at: null,
    started_at: at,
    finished_at: null,
    error: null,
    failures: row.failures,
    input: null,
    result: null,
  }
}

function takeFromLimit(limits: Map<string, number>, task: string): boolean {
  const left = limits.get(task)
  if (left === undefined) return true
  if (left <= 0) return false
  limits.set(task, left - 1)
  return true
}
