/**
 * Queries of the queue. Its index begins with kind, priority, whether jobs are due on every clock, and task. Jobs with the same
 * four values form a level, and few levels exist at a time. A query skips from level to level, so that a level that a claim
 * cannot use costs one look-up, however many jobs wait in it. Claims merge the levels of a priority by due time.
 */
import { isRunId } from '../../../domain/ids.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { type ClaimRequest, freeThreads } from '../../claim-requests.ts'
import { maxCountedAhead } from '../../run-record.ts'
import type { Query, Row } from '../connection/connection.ts'
import type { Stored } from '../writing/unit-of-work.ts'
import { readResults, type ResultOf } from './read.ts'
import { isNone, type RecordDecoder } from './records.ts'
import { isNotPaused } from './tasks.ts'

/** Asks for jobs that are not suspects. */
export interface DueRequest extends ClaimRequest {
  /** Whether the jobs may have lost a start. */
  readonly mayHaveLostStart: boolean
}

/** A job that waits in the queue, where the transaction has locked its record, or in a run that is being accepted. */
export interface WaitingJob {
  readonly runId: string
  readonly jobIndex: number
  readonly kind: TaskKind
  readonly task: string
  readonly priority: number
  readonly runAt: number
  /** Whether the job is due on every clock. */
  readonly isDue: boolean
  /** Null if the record holds the input. */
  readonly input: string | null
}

export interface DueJobs {
  readonly jobs: readonly WaitingJob[]
  /** The records of the jobs' runs; the transaction has locked them. */
  readonly records: readonly Stored[]
  /** For each requested kind, when its next job becomes due; null: no further job waits. */
  readonly nextDueAt: ReadonlyMap<TaskKind, number | null>
  /** Kinds with further due jobs that another transaction has locked. */
  readonly skipped: readonly TaskKind[]
  /** Finds the result of a job that a due job has waited for. */
  readonly resultOf: ResultOf
}

/** SQL, part of a WITH RECURSIVE: the table `level` of every level of the kinds. @param kinds SQL of an array */
export function levelsOf(kinds: string): string {
  const order = 'ORDER BY priority DESC, is_due DESC, task DESC LIMIT 1'
  return `level AS (
      SELECT first.* FROM unnest(${kinds}) AS named (kind) CROSS JOIN LATERAL (
        SELECT kind, priority, is_due, task FROM queue WHERE kind = named.kind ${order}) AS first
      UNION ALL
      SELECT next.* FROM level CROSS JOIN LATERAL (
        SELECT kind, priority, is_due, task FROM queue WHERE kind = level.kind
          AND (priority, is_due, task) < (level.priority, level.is_due, level.task) ${order}) AS next
    )`
}

/** SQL: whether a row of `queue` belongs to a row of `level` in the same scope. */
export const isInLevel = `queue.kind = level.kind AND queue.priority = level.priority AND queue.is_due = level.is_due
  AND queue.task = level.task`

/** SQL: the latest `run_at` of a due job of the level. @param at SQL of the instant on the caller's clock */
export function dueUntil(at: string): string {
  return `CASE WHEN level.is_due THEN ${2n ** 63n - 1n} ELSE ${at}::bigint END`
}

/** SQL: whether jobs of the task run here. @param tasks SQL of an array of tasks; its value null means any */
export function runsHere(task: string, tasks: string): string {
  return `(${tasks}::text[] IS NULL OR ${task} = ANY(${tasks}::text[]))`
}

const jobColumns = 'queue.run, queue.job, queue.kind, queue.task, queue.priority, queue.run_at, queue.is_due'
const recordColumns = 'record.version, record.revision, record.record'
const nextInOrder = 'ORDER BY queue.run_at, queue.run, queue.job'
/** The members of `WaitingJob`. */
const dueColumns = `due.run AS "runId", due.job AS "jobIndex", due.kind, due.task, due.priority, due.run_at AS "runAt",
      due.is_due AS "isDue", payload.value AS input`
const joinInput = 'LEFT JOIN payload ON payload.run = due.run AND payload.job = due.job AND payload.part = 0'

// Parameters: $1 kinds; $2 free slots of each; $3 now; $4 tasks at their limit; $5 whether to claim jobs that have lost a
// start; $6 tasks that run here; $7 runs with unreadable records.
const isDueNow = `queue.run_at <= ${dueUntil('$3')} AND (queue.expires_at IS NULL OR queue.expires_at > $3::bigint)
            AND (queue.lost = 0 OR ($5::boolean AND queue.lost = 1)) AND ${isNone('queue.run', '$7')}`

// One range per level: a single ordering over all levels would read jobs that are not due yet, or do not run here. The
// priorities in use are read from the highest, until the slots of the kind are full. The alias `level` is for `isInLevel`.
// A claim never waits: it skips a record that another transaction has locked. It does not skip the records that search
// locks, FOR KEY SHARE. Each record is returned once, however many of its jobs are due.
const selectDue = {
  name: 'select-due',
  text: `
    WITH RECURSIVE slot (kind, free) AS (SELECT * FROM unnest($1::text[], $2::integer[])),
      ${levelsOf('$1::text[]')},
      claimable AS (
        SELECT * FROM level
        WHERE level.task <> ALL($4::text[]) AND ${runsHere('level.task', '$6')} AND ${isNotPaused('level.task')}),
      due AS MATERIALIZED (
        SELECT of_kind.* FROM slot CROSS JOIN LATERAL (
          SELECT of_priority.* FROM (
            SELECT DISTINCT priority FROM claimable WHERE claimable.kind = slot.kind ORDER BY priority DESC
          ) AS used CROSS JOIN LATERAL (
            SELECT of_level.* FROM claimable AS level CROSS JOIN LATERAL (
              SELECT ${jobColumns}, ${recordColumns} FROM queue JOIN record ON record.id = queue.run
              WHERE ${isInLevel} AND ${isDueNow}
              ${nextInOrder} LIMIT slot.free FOR NO KEY UPDATE OF record SKIP LOCKED
            ) AS of_level
            WHERE level.kind = slot.kind AND level.priority = used.priority
            ORDER BY of_level.run_at, of_level.run, of_level.job LIMIT slot.free
          ) AS of_priority LIMIT slot.free
        ) AS of_kind),
      state AS (
        SELECT slot.kind,
          (SELECT min(later.run_at) FROM claimable AS level CROSS JOIN LATERAL (
              SELECT run_at FROM queue WHERE ${isInLevel} AND run_at > $3::bigint ORDER BY run_at LIMIT 1) AS later
            WHERE level.kind = slot.kind AND NOT level.is_due) AS next_due_at,
          (SELECT count(*) FROM due WHERE due.kind = slot.kind) < slot.free AND EXISTS (
            SELECT FROM claimable AS level CROSS JOIN LATERAL (
              SELECT FROM queue WHERE ${isInLevel} AND ${isDueNow}
                AND NOT EXISTS (SELECT FROM due WHERE due.run = queue.run AND due.job = queue.job) LIMIT 1) AS other
            WHERE level.kind = slot.kind) AS is_skipped
        FROM slot)
    SELECT state.kind AS asked_kind, state.next_due_at, state.is_skipped, ${dueColumns}, due.version, due.revision,
      CASE WHEN row_number() OVER (PARTITION BY due.run ORDER BY due.job) = 1 THEN due.record END AS record
    FROM state LEFT JOIN due ON due.kind = state.kind ${joinInput}`,
}

const selectSuspect = {
  name: 'select-suspect',
  text: `
    WITH due AS MATERIALIZED (
      SELECT ${jobColumns}, ${recordColumns} FROM queue JOIN record ON record.id = queue.run
      WHERE queue.lost = 2 AND (queue.is_due OR queue.run_at <= $1) AND queue.kind = ANY($2::text[])
        AND queue.task <> ALL($3::text[]) AND ${runsHere('queue.task', '$4')} AND ${isNotPaused('queue.task')}
        AND ${isNone('queue.run', '$5')}
      ${nextInOrder} LIMIT 1 FOR NO KEY UPDATE OF record SKIP LOCKED)
    SELECT ${dueColumns}, due.version, due.revision, due.record FROM due ${joinInput}`,
}

/** Finds due jobs, for each kind up to its number of free slots, without tasks at their limit. */
export async function findDue(
  query: Query,
  request: DueRequest,
  tasks: readonly string[] | null,
  decoder: RecordDecoder,
): Promise<DueJobs> {
  const { slots, at, mayHaveLostStart } = request
  const kinds = kindsWithSlots(request)
  const free = kinds.map((kind) => freeThreads(slots, kind).length)
  const values = [kinds, free, at, tasksAtLimit(request), mayHaveLostStart, tasks, decoder.unreadable()]
  const rows = await query(selectDue, values)
  const found = rows.filter(({ runId }) => runId !== null)
  const read = await readDue(query, found, decoder)
  const nextDueAt = new Map<TaskKind, number | null>()
  const skipped: TaskKind[] = []
  for (const kind of kinds) {
    const state = rows.find((row) => row['asked_kind'] === kind)
    const next = state?.['next_due_at']
    nextDueAt.set(kind, typeof next === 'number' ? next : null)
    // Also counts jobs that changed after this statement began, and jobs of unreadable records, which later claims leave out.
    const count = found.filter((row) => row['kind'] === kind).length
    const hasMore = count > read.jobs.filter((job) => job.kind === kind).length
    if (state?.['is_skipped'] === true || hasMore) skipped.push(kind)
  }
  return { ...read, nextDueAt, skipped }
}

/** Finds the suspect that has been due the longest. */
export async function findSuspect(
  query: Query,
  request: ClaimRequest,
  tasks: readonly string[] | null,
  decoder: RecordDecoder,
): Promise<DueJobs> {
  const values = [request.at, kindsWithSlots(request), tasksAtLimit(request), tasks, decoder.unreadable()]
  const read = await readDue(query, await query(selectSuspect, values), decoder)
  return { ...read, nextDueAt: new Map(), skipped: [] }
}

const selectExpired = {
  name: 'select-expired',
  text: `SELECT DISTINCT run FROM queue WHERE expires_at <= $1 AND ${isNone('run', '$2')} LIMIT 200`,
}

/** Returns up to 200 runs with expired jobs. */
export async function readExpired(query: Query, at: number, decoder: RecordDecoder): Promise<string[]> {
  return (await query(selectExpired, [at, decoder.unreadable()])).map(({ run }) => String(run))
}

function tasksAtLimit({ taskLimits }: ClaimRequest): string[] {
  return Object.entries(taskLimits).flatMap(([task, left]) => (left <= 0 ? [task] : []))
}

/** Kinds for which the request has free slots. */
export function kindsWithSlots({ slots }: ClaimRequest): TaskKind[] {
  return taskKinds.filter((kind) => freeThreads(slots, kind).length > 0)
}

/** Leaves out jobs that another transaction changed after the statement began, and jobs of unreadable records. */
async function readDue(
  query: Query,
  rows: readonly Row[],
  decoder: RecordDecoder,
): Promise<Pick<DueJobs, 'jobs' | 'records' | 'resultOf'>> {
  const withRecord = rows.filter(({ record }) => record !== null).map((row) => ({ ...row, id: row['runId'] }))
  const records = decoder.decode(withRecord)
  const runs = new Map(records.map(({ run }) => [run.id, run]))
  const isAsRead = ({ runId, jobIndex, runAt }: WaitingJob): boolean => runs.get(runId)?.jobs[jobIndex]?.runAt === runAt
  // Selected by `dueColumns`.
  const jobs = (rows as unknown as readonly WaitingJob[]).filter(isAsRead)
  return { jobs, records, resultOf: await readResults(query, jobs, runs) }
}

const selectPosition = {
  name: 'select-position',
  text: 'SELECT kind, priority, run_at FROM queue WHERE run = $1::uuid AND job = $2::integer',
}
const countBefore = {
  name: 'count-before',
  text: `
    WITH RECURSIVE ${levelsOf('ARRAY[$1::text]')}
    SELECT count(*) AS ahead FROM level CROSS JOIN LATERAL (
      SELECT FROM queue WHERE ${isInLevel} AND queue.run_at <= ${dueUntil('$6')}
        AND (level.priority > $2::integer
          OR (queue.run_at, queue.run, queue.job) < ($3::bigint, $4::uuid, $5::integer))
      LIMIT ${maxCountedAhead}) AS before
    WHERE level.priority >= $2::integer AND ${runsHere('level.task', '$7')} AND ${isNotPaused('level.task')}`,
}

/** Counts the due jobs that are claimed before this one; null if it does not wait. @param tasks that run here; null: any */
export async function countAhead(
  query: Query,
  tasks: readonly string[] | null,
  runId: string,
  jobIndex: number,
  at: number,
): Promise<number | null> {
  if (!isRunId(runId)) return null
  const [position] = await query(selectPosition, [runId, jobIndex])
  if (position === undefined) return null
  const { kind, priority, run_at: runAt } = position
  const [row] = await query(countBefore, [kind, priority, runAt, runId, jobIndex, at, tasks])
  return Number(row?.['ahead'] ?? 0)
}
