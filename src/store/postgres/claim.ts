/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. Waits for no other process. */
import type { ClaimedJob, FreeSlots } from '../../domain/claim.ts'
import { taskKinds, type TaskKind } from '../../domain/task.ts'
import { isSuspect } from '../moves.ts'
import { asJobRow, type Row } from '../rows.ts'
import type { ClaimRequest } from '../store.ts'
import type { Query } from './connection.ts'

export interface Taken {
  readonly jobs: readonly ClaimedJob[]
  /** The states in which they waited, in the same order. */
  readonly waitedAs: readonly ('queued' | 'retrying')[]
  readonly nextDueAt: number | null
}

const returned = `job.run_id, job.job_index, job.task, job.kind, job.timeout_ms, job.attempt, job.max_attempts,
  job.claim, job.lost_starts, job.input, job.thread`

const nextDue = (kind: TaskKind): string => `
  (SELECT min(due.run_at) FROM generate_series(0, 9) AS level (priority) CROSS JOIN LATERAL (
    SELECT run_at FROM job WHERE kind = '${kind}' AND priority = level.priority AND run_at > $1::bigint
    ORDER BY run_at LIMIT 1) AS due)`

// One range per priority: a single ordering over all of them would wade through jobs that are not due yet.
const claimDue = {
  name: 'claim-due-jobs',
  text: `
    WITH due AS MATERIALIZED (
      SELECT found.* FROM unnest($2::text[], $3::integer[]) AS slot (kind, free) CROSS JOIN LATERAL (
        SELECT ranged.* FROM generate_series(9, 0, -1) AS level (priority) CROSS JOIN LATERAL (
          SELECT job.run_id, job.job_index, job.kind, job.task, job.priority, job.run_at, job.state FROM job
          WHERE job.kind = slot.kind AND job.priority = level.priority AND job.run_at <= $1
            AND job.task <> ALL($4::text[]) AND job.run_id <> ALL($5::uuid[])
          ORDER BY job.run_at, job.run_id, job.job_index LIMIT slot.free FOR UPDATE SKIP LOCKED
        ) AS ranged LIMIT slot.free
      ) AS found
    ), counted AS (
      SELECT due.*, row_number() OVER (PARTITION BY task ORDER BY priority DESC, run_at, run_id, job_index) AS nth
      FROM due
    ), placed AS (
      SELECT counted.*, row_number() OVER (PARTITION BY kind ORDER BY priority DESC, run_at, run_id, job_index) AS place
      FROM counted LEFT JOIN unnest($6::text[], $7::integer[]) AS bound (task, allowed) USING (task)
      WHERE nth <= coalesce(allowed, ${2 ** 31 - 1})
    ), claimed AS (
      UPDATE job SET state = 'running', claim = job.claim + 1, attempt = job.attempt + 1, owner = $8,
        thread = CASE placed.kind WHEN 'cpu' THEN ($9::text[])[place] ELSE ($10::text[])[place] END,
        started_at = $1, run_at = NULL
      FROM placed WHERE job.run_id = placed.run_id AND job.job_index = placed.job_index
      RETURNING ${returned}, placed.state AS waited_as, placed.run_at AS due_at, placed.place
    )
    SELECT next.*, claimed.* FROM (SELECT ${nextDue('cpu')} AS next_cpu, ${nextDue('io')} AS next_io) AS next
    LEFT JOIN claimed ON true ORDER BY claimed.kind, claimed.place`,
}
const selectLost = {
  name: 'select-lost-jobs',
  text: `
    SELECT run_id, job_index, kind, lost_starts, max_attempts FROM job
    WHERE lost_starts > 0 AND run_at IS NOT NULL AND run_at <= $1 ORDER BY run_at, run_id, job_index`,
}
const claimOne = {
  name: 'claim-one-job',
  text: `
    WITH free AS (
      SELECT run_id, job_index, state, run_at FROM job
      WHERE run_id = $1 AND job_index = $2 AND run_at IS NOT NULL FOR UPDATE SKIP LOCKED
    )
    UPDATE job SET state = 'running', claim = claim + 1, attempt = attempt + 1, owner = $3, thread = $4,
      started_at = $5, run_at = NULL
    FROM free WHERE job.run_id = free.run_id AND job.job_index = free.job_index
    RETURNING ${returned}, free.state AS waited_as, free.run_at AS due_at`,
}

interface Claimer {
  readonly query: Query
  readonly owner: string
  /** Runs of which the same transaction is about to end jobs. */
  readonly except: readonly string[]
}

export function claim(claimer: Claimer, request: ClaimRequest): Promise<Taken> {
  return request.only === 'suspects' ? claimSuspect(claimer, request) : claimAll(claimer, request)
}

async function claimAll({ query, owner, except }: Claimer, request: ClaimRequest): Promise<Taken> {
  const { at, slots } = request
  const threads = { cpu: threadsOf(slots, 'cpu'), io: threadsOf(slots, 'io') }
  const limits = new Map(Object.entries(request.taskLimits))
  const rows: Row[] = []
  let nextDueAt = Infinity
  for (;;) {
    const kinds = taskKinds.filter((kind) => threads[kind].length > 0)
    if (kinds.length === 0) break
    const full = [...limits].filter(([, left]) => left <= 0).map(([task]) => task)
    const bounds = [...limits].filter(([, left]) => left > 0)
    const found = await query(claimDue, [
      at,
      kinds,
      kinds.map((kind) => threads[kind].length),
      full,
      except,
      bounds.map(([task]) => task),
      bounds.map(([, left]) => left),
      owner,
      threads.cpu,
      threads.io,
    ])
    const taken = found.filter((row) => row['run_id'] !== null)
    rows.push(...taken)
    let reachesLimit = false
    for (const { task, kind } of taken.map(asJobRow)) {
      threads[kind].shift()
      const left = limits.get(task)
      if (left === undefined) continue
      limits.set(task, left - 1)
      if (left === 1) reachesLimit = true
    }
    // Another round is worth asking for only where jobs beyond a limit may have taken the places of others.
    if (reachesLimit) continue
    // Where every slot was filled, the next claim comes when one is free, whatever is due by then.
    for (const kind of taskKinds) {
      const next = found[0]?.[`next_${kind}`]
      if (threads[kind].length > 0 && typeof next === 'number') nextDueAt = Math.min(nextDueAt, next)
    }
    break
  }
  const inOrder = taskKinds.flatMap((kind) => rows.filter((row) => row['kind'] === kind))
  return { ...takenOf(inOrder, at), nextDueAt: Number.isFinite(nextDueAt) ? nextDueAt : null }
}

async function claimSuspect({ query, owner, except }: Claimer, { slots, at }: ClaimRequest): Promise<Taken> {
  const lost = (await query(selectLost, [at])).map(asJobRow)
  for (const job of lost) {
    const slot = slots.find(({ kind, count }) => kind === job.kind && count > 0)
    if (slot === undefined || !isSuspect(job) || except.includes(job.run_id)) continue
    const rows = await query(claimOne, [job.run_id, job.job_index, owner, slot.thread, at])
    // Another process may have taken it meanwhile.
    if (rows.length > 0) return { ...takenOf(rows, at), nextDueAt: null }
  }
  return { jobs: [], waitedAs: [], nextDueAt: null }
}

function takenOf(rows: readonly Row[], at: number): Pick<Taken, 'jobs' | 'waitedAs'> {
  const jobs = rows.map((row): ClaimedJob => {
    const job = asJobRow(row)
    return {
      runId: job.run_id,
      jobIndex: job.job_index,
      claim: job.claim,
      task: job.task,
      kind: job.kind,
      input: job.input,
      thread: job.thread ?? '',
      timeoutMs: job.timeout_ms,
      attempt: job.attempt,
      maxAttempts: job.max_attempts,
      lostStarts: job.lost_starts,
      waitedMs: at - Number(row['due_at']),
    }
  })
  return { jobs, waitedAs: rows.map((row) => (row['waited_as'] === 'retrying' ? 'retrying' : 'queued')) }
}

/** One entry per free slot of the kind, in turn over the threads, so that the load spreads. */
function threadsOf(slots: readonly FreeSlots[], kind: TaskKind): string[] {
  const left = slots.filter((slot) => slot.kind === kind).map(({ thread, count }) => ({ thread, count }))
  const threads: string[] = []
  while (left.some(({ count }) => count > 0)) {
    for (const slot of left) {
      if (slot.count > 0) threads.push(slot.thread)
      slot.count -= 1
    }
  }
  return threads
}
