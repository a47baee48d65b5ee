/** Takes due jobs for free slots: by priority, then by due time, within each task's limit. Waits for no other process. */
import type { ClaimedJob, FreeSlots } from '../../domain/claim.ts'
import type { RunChange } from '../../domain/run.ts'
import { taskKinds, type TaskKind } from '../../domain/task.ts'
import { asJobRow, type Row } from './rows.ts'
import { threadsOf } from '../slots.ts'
import type { ClaimRequest } from '../store.ts'
import { plainArray, textArray } from './arrays.ts'
import type { Query } from './connection.ts'
import { changesTold, commitHead, readChanges, toldChanges } from './notices.ts'
import { dueUntil, isInQueue, runsHere, waitingQueues } from './queues.ts'
import { OutOfStep, ownRow, rowOf, type Sender } from './transaction.ts'

/** A claim of jobs that are no suspects. */
export interface DueRequest extends ClaimRequest {
  /** Whether they may have lost a start. */
  readonly lost: boolean
  /** Only these tasks; null: any. */
  readonly tasks: readonly string[] | null
}

export interface Taken {
  readonly jobs: readonly ClaimedJob[]
  readonly changes: readonly RunChange[]
  /** Of each kind of which all that are due were taken, but for a limit: when the next one is due; null without one. */
  readonly nextDueAt: ReadonlyMap<TaskKind, number | null>
  /** Tasks of which no more may be taken; jobs of them may be due. */
  readonly atLimit: readonly string[]
  /** What is to be asked for next, where jobs beyond a limit may have taken the places of others. */
  readonly rest: DueRequest | null
}

export const returned = `job.run_id, job.job_index, job.task, job.kind, job.timeout_ms, job.attempt, job.max_attempts,
  job.claim, job.lost_starts, job.input, job.thread`

const isClaimable = `queue.task <> ALL($7::text[]) AND ${runsHere('queue.task', '$16')}`

const nextDue = (kind: TaskKind): string => `
  (SELECT min(due.run_at) FROM queue CROSS JOIN LATERAL (
    SELECT run_at FROM job WHERE ${isInQueue} AND run_at > $4::bigint ORDER BY run_at LIMIT 1) AS due
  WHERE queue.kind = '${kind}' AND NOT queue.is_due AND ${isClaimable})`

/** As `isSuspect` has it. */
export const isSuspicious = '(job.lost_starts >= greatest(job.max_attempts, 3) - 1)'

// One range per queue: a single ordering over all of them would wade through jobs that are not due yet, or not to be
// run here. Where nothing is taken nothing is written, and there is no commit to wait for.
const claimDue = {
  name: 'claim-due-jobs',
  text: `
    WITH RECURSIVE ${waitingQueues('$5::text[]')}, due AS MATERIALIZED (
      SELECT found.* FROM unnest($5::text[], $6::integer[]) AS slot (kind, free) CROSS JOIN LATERAL (
        SELECT ranged.* FROM (
          SELECT DISTINCT priority FROM queue WHERE queue.kind = slot.kind AND ${isClaimable} ORDER BY priority DESC
        ) AS level CROSS JOIN LATERAL (
          SELECT queued.* FROM queue CROSS JOIN LATERAL (
            SELECT job.run_id, job.job_index, job.kind, job.task, job.priority, job.run_at, job.state FROM job
            WHERE ${isInQueue} AND job.run_at <= ${dueUntil('$4')}
              AND (job.lost_starts = 0 OR ($15::boolean AND NOT ${isSuspicious}))
            ORDER BY job.run_at, job.run_id, job.job_index LIMIT slot.free FOR UPDATE SKIP LOCKED
          ) AS queued
          WHERE queue.kind = slot.kind AND queue.priority = level.priority AND ${isClaimable}
          ORDER BY queued.run_at, queued.run_id, queued.job_index LIMIT slot.free
        ) AS ranged LIMIT slot.free
      ) AS found
    ), counted AS (
      SELECT due.*, row_number() OVER (PARTITION BY task ORDER BY priority DESC, run_at, run_id, job_index) AS nth
      FROM due
    ), placed AS (
      SELECT counted.*, row_number() OVER (PARTITION BY kind ORDER BY priority DESC, run_at, run_id, job_index) AS place
      FROM counted LEFT JOIN unnest($8::text[], $9::integer[]) AS bound (task, allowed) USING (task)
      WHERE nth <= coalesce(allowed, ${2 ** 31 - 1})
    ), ${ownRow('EXISTS (SELECT FROM placed)')}, claimed AS (
      UPDATE job SET state = 'running', claim = job.claim + 1, attempt = job.attempt + 1, owner = $10,
        thread = CASE placed.kind WHEN 'cpu' THEN ($11::text[])[place] ELSE ($12::text[])[place] END,
        started_at = $4, run_at = NULL
      FROM own, placed WHERE job.run_id = placed.run_id AND job.job_index = placed.job_index
      RETURNING ${returned}, placed.state AS waited_as, placed.run_at AS due_at, placed.place
    ), runs AS (
      UPDATE run SET version = version + 1
      FROM (SELECT DISTINCT run_id FROM claimed ORDER BY run_id) AS touched WHERE run.id = touched.run_id
      RETURNING run.id, run.version, run.state, run.answer_status
    ), totals AS (
      UPDATE tally SET commits = $3, jobs_running = jobs_running + taken.queued + taken.retrying,
        jobs_queued = jobs_queued - taken.queued, jobs_retrying = jobs_retrying - taken.retrying
      FROM own, (
        SELECT count(*) FILTER (WHERE waited_as = 'queued') AS queued,
          count(*) FILTER (WHERE waited_as = 'retrying') AS retrying FROM claimed) AS taken
      WHERE tally.owner = $1
    ), ${toldChanges({ channel: '$13', head: '$14', live: 'own.live', hasWork: '0' })}
    SELECT next.*, claimed.* FROM (
      SELECT ${nextDue('cpu')} AS next_cpu, ${nextDue('io')} AS next_io, ${changesTold},
        (SELECT count(*) FROM placed) AS found) AS next
    LEFT JOIN claimed ON true ORDER BY claimed.kind, claimed.place`,
}

/** Claims once, and no suspects. @throws DatabaseFailure */
export async function claimJobs(query: Query, sender: Sender, request: DueRequest): Promise<Taken> {
  const { at, slots } = request
  const threads = { cpu: threadsOf(slots, 'cpu'), io: threadsOf(slots, 'io') }
  const limits = new Map(Object.entries(request.taskLimits))
  const kinds = taskKinds.filter((kind) => threads[kind].length > 0)
  const bounds = [...limits].filter(([, left]) => left > 0)
  const rows = await query(claimDue, [
    rowOf(sender),
    sender.commits,
    sender.number,
    at,
    plainArray(kinds),
    plainArray(kinds.map((kind) => threads[kind].length)),
    textArray([...limits].filter(([, left]) => left <= 0).map(([task]) => task)),
    textArray(bounds.map(([task]) => task)),
    plainArray(bounds.map(([, left]) => left)),
    sender.owner,
    textArray(threads.cpu),
    textArray(threads.io),
    sender.channel,
    commitHead(sender.owner, sender.lane),
    request.lost,
    request.tasks === null ? null : textArray(request.tasks),
  ])
  const [first = {}] = rows
  const taken = rows.filter((row) => row['run_id'] !== null).map((row) => claimedJob(row, at))
  if (taken.length !== first['found']) throw new OutOfStep()
  let reachesLimit = false
  for (const { task } of taken) {
    const left = limits.get(task)
    if (left === undefined) continue
    limits.set(task, left - 1)
    if (left === 1) reachesLimit = true
  }
  const left = slotsLeft(slots, taken)
  const open = taskKinds.filter((kind) => left.some((slot) => slot.kind === kind))
  const hasRest = reachesLimit && open.length > 0
  const next = (kind: TaskKind): number | null => {
    const dueAt = first[`next_${kind}`]
    return typeof dueAt === 'number' ? dueAt : null
  }
  return {
    jobs: taskKinds.flatMap((kind) => taken.filter((job) => job.kind === kind)),
    changes: readChanges(first),
    nextDueAt: new Map(hasRest ? [] : open.map((kind) => [kind, next(kind)])),
    atLimit: [...limits].filter(([, allowed]) => allowed <= 0).map(([task]) => task),
    rest: hasRest ? { ...request, slots: left, taskLimits: Object.fromEntries(limits) } : null,
  }
}

export function slotsLeft(slots: readonly FreeSlots[], taken: readonly ClaimedJob[]): FreeSlots[] {
  return slots
    .map((slot) => ({ ...slot, count: slot.count - taken.filter(({ thread }) => thread === slot.thread).length }))
    .filter(({ count }) => count > 0)
}

/** @param row with the columns of `returned`, and when it was due */
export function claimedJob(row: Row, at: number): ClaimedJob {
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
    waitedMs: Math.max(0, at - Number(row['due_at'])),
  }
}
