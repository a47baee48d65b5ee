/**
 * Queries of the queue. One index sorts waiting jobs by kind, priority, whether they are due on every clock, and task.
 * Jobs that have these four in common form a level. Few levels exist at a time. A query skips from one level to the
 * next, so that a level of no use to a claim costs one look-up, however many jobs wait in it.
 */
import type { ClaimedJob, FreeSlots } from '../../../domain/claim.ts'
import { isRunId } from '../../../domain/ids.ts'
import { type TaskKind, taskKinds } from '../../../domain/task.ts'
import { maxCountedAhead } from '../../run-record.ts'
import { type ClaimRequest, placeOf, threadsOf } from '../../claim-request.ts'
import type { Query, Row } from '../connection/connection.ts'
import type { Stored } from '../writing/unit-of-work.ts'
import { isNotPaused } from './tasks.ts'
import { readResults, type ResultOf } from './read.ts'
import { isNone, type Readable, rowsOf } from './records.ts'

/** A claim of jobs other than suspects. */
export interface DueRequest extends ClaimRequest {
  /** Whether they may have lost a start. */
  readonly mayHaveLostStart: boolean
}

/** A waiting job from the queue. The transaction has locked its record. */
export interface Due {
  readonly runId: string
  readonly jobIndex: number
  readonly kind: TaskKind
  readonly task: string
  readonly priority: number
  readonly runAt: number
  /** On every clock. */
  readonly isDue: boolean
  /** Where it is not in the record. */
  readonly input: string | null
}

export interface Look {
  /** Within a kind by priority, then by due time. */
  readonly due: readonly Due[]
  readonly records: readonly Stored[]
  /** By kind, when the next job becomes due. */
  readonly nextDueAt: ReadonlyMap<TaskKind, number | null>
  /** Kinds with more due jobs, which another transaction has locked. */
  readonly skipped: readonly TaskKind[]
  /** Of the jobs that due ones have waited for. */
  readonly resultOf: ResultOf
}

/** SQL for a WITH RECURSIVE: every level of these kinds. @param kinds SQL of an array */
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

/** Of a row of queue in the same scope as one of level. */
export const isInLevel = `queue.kind = level.kind AND queue.priority = level.priority AND queue.is_due = level.is_due
  AND queue.task = level.task`

/** SQL: until when jobs of the level are due. @param at on the caller's clock */
export function dueUntil(at: string): string {
  return `CASE WHEN level.is_due THEN ${2n ** 63n - 1n} ELSE ${at}::bigint END`
}

/** SQL: whether jobs of the task run here. @param tasks SQL of an array; null: any */
export function runsHere(task: string, tasks: string): string {
  return `(${tasks}::text[] IS NULL OR ${task} = ANY(${tasks}::text[]))`
}

const isClaimable = `level.task <> ALL($4::text[]) AND ${runsHere('level.task', '$6')} AND ${isNotPaused('level.task')}`
const isOpen = `queue.run_at <= ${dueUntil('$3')} AND (queue.lost = 0 OR ($5::boolean AND queue.lost = 1))
  AND (queue.expires_at IS NULL OR queue.expires_at > $3::bigint)
  AND ${isNone('queue.run', '$7')}`

const nextDue = (kind: TaskKind): string => `
  (SELECT min(later.run_at) FROM level CROSS JOIN LATERAL (
    SELECT run_at FROM queue WHERE ${isInLevel} AND run_at > $3::bigint ORDER BY run_at LIMIT 1) AS later
  WHERE level.kind = '${kind}' AND NOT level.is_due AND ${isClaimable}) AS next_${kind}`

const skipped = (kind: TaskKind): string => `
  (SELECT count(*) FROM due WHERE due.kind = '${kind}') < (
      SELECT coalesce(sum(free), 0) FROM unnest($1::text[], $2::integer[]) AS slot (kind, free) WHERE slot.kind = '${kind}')
    AND EXISTS (SELECT FROM level CROSS JOIN LATERAL (
      SELECT FROM queue WHERE ${isInLevel} AND ${isOpen}
        AND NOT EXISTS (SELECT FROM due WHERE due.run = queue.run AND due.job = queue.job) LIMIT 1) AS other
    WHERE level.kind = '${kind}' AND ${isClaimable}) AS skipped_${kind}`

const columns = 'queue.run, queue.job, queue.kind, queue.task, queue.priority, queue.run_at, queue.is_due'
const recordColumns = 'record.id, record.version, record.revision, record.record'
/** Returns each record once, however many of its jobs are due. */
const firstRecord = `CASE WHEN row_number() OVER (PARTITION BY due.run ORDER BY due.job) = 1 THEN due.record END AS record`

// One range per level: a single ordering over all levels would read jobs that are not due yet, or do not run here. A
// record that another transaction has locked is skipped, so that a claim never waits. Search locks
// FOR KEY SHARE, which does not make a claim skip.
const selectDue = {
  name: 'select-due',
  text: `
    WITH RECURSIVE ${levelsOf('$1::text[]')}, due AS MATERIALIZED (
      SELECT found.* FROM unnest($1::text[], $2::integer[]) AS slot (kind, free) CROSS JOIN LATERAL (
        SELECT ranged.* FROM (
          SELECT DISTINCT priority FROM level WHERE level.kind = slot.kind AND ${isClaimable} ORDER BY priority DESC
        ) AS rank CROSS JOIN LATERAL (
          SELECT waiting.* FROM level CROSS JOIN LATERAL (
            SELECT ${columns}, ${recordColumns} FROM queue JOIN record ON record.id = queue.run
            WHERE ${isInLevel} AND ${isOpen}
            ORDER BY queue.run_at, queue.run, queue.job LIMIT slot.free FOR NO KEY UPDATE OF record SKIP LOCKED
          ) AS waiting
          WHERE level.kind = slot.kind AND level.priority = rank.priority AND ${isClaimable}
          ORDER BY waiting.run_at, waiting.run, waiting.job LIMIT slot.free
        ) AS ranged LIMIT slot.free
      ) AS found
    )
    SELECT next.*, due.run, due.job, due.kind, due.task, due.priority, due.run_at, due.is_due, due.version, due.revision,
      ${firstRecord}, payload.value AS input
    FROM (SELECT ${nextDue('cpu')}, ${nextDue('io')}, ${skipped('cpu')}, ${skipped('io')}) AS next
    LEFT JOIN due ON true
    LEFT JOIN payload ON payload.run = due.run AND payload.job = due.job AND payload.part = 0`,
}

const selectSuspect = {
  name: 'select-suspect',
  text: `
    WITH due AS MATERIALIZED (
      SELECT ${columns}, ${recordColumns} FROM queue JOIN record ON record.id = queue.run
      WHERE queue.lost = 2 AND (queue.is_due OR queue.run_at <= $1) AND queue.kind = ANY($2::text[])
        AND queue.task <> ALL($3::text[]) AND ${runsHere('queue.task', '$4')} AND ${isNotPaused('queue.task')}
        AND ${isNone('queue.run', '$5')}
      ORDER BY queue.run_at, queue.run, queue.job LIMIT 1 FOR NO KEY UPDATE OF record SKIP LOCKED
    )
    SELECT due.*, payload.value AS input FROM due
    LEFT JOIN payload ON payload.run = due.run AND payload.job = due.job AND payload.part = 0`,
}

/** Due jobs, of each kind as many as there are free slots, without tasks at their limit. */
export async function lookForDue(
  query: Query,
  request: DueRequest,
  tasks: readonly string[] | null,
  readable: Readable,
): Promise<Look> {
  const kinds = taskKinds.filter((kind) => threadsOf(request.slots, kind).length > 0)
  const rows = await query(selectDue, [
    kinds,
    kinds.map((kind) => threadsOf(request.slots, kind).length),
    request.at,
    fullTasks(request),
    request.mayHaveLostStart,
    tasks,
    readable.unreadable(),
  ])
  const [first = {}] = rows
  const next = (kind: TaskKind): number | null => {
    const at = first[`next_${kind}`]
    return typeof at === 'number' ? at : null
  }
  const found = rows.filter((row) => row['run'] !== null)
  const { due, records } = readDue(found, readable)
  // Includes jobs that changed since this statement began, and unreadable records, which are left out from now on.
  const isSkipped = (kind: TaskKind): boolean =>
    first[`skipped_${kind}`] === true ||
    found.filter((row) => row['kind'] === kind).length > due.filter((job) => job.kind === kind).length
  const nextDueAt = new Map(kinds.map((kind) => [kind, next(kind)]))
  const resultOf = await readResults(query, due, records)
  return { due, records, nextDueAt, skipped: kinds.filter(isSkipped), resultOf }
}

/** The suspect that has been due the longest. */
export async function lookForSuspect(
  query: Query,
  request: ClaimRequest,
  tasks: readonly string[] | null,
  readable: Readable,
): Promise<Look> {
  const kinds = taskKinds.filter((kind) => threadsOf(request.slots, kind).length > 0)
  const values = [request.at, kinds, fullTasks(request), tasks, readable.unreadable()]
  const { due, records } = readDue(await query(selectSuspect, values), readable)
  const resultOf = await readResults(query, due, records)
  return { due, records, nextDueAt: new Map(), skipped: [], resultOf }
}

const selectExpired = {
  name: 'select-expired',
  text: `SELECT DISTINCT run FROM queue WHERE expires_at <= $1 AND ${isNone('run', '$2')} LIMIT 200`,
}

/** Some of the runs with expired jobs. */
export async function runsExpired(query: Query, at: number, readable: Readable): Promise<string[]> {
  return (await query(selectExpired, [at, readable.unreadable()])).map(({ run }) => String(run))
}

function fullTasks({ taskLimits }: ClaimRequest): string[] {
  return Object.entries(taskLimits).flatMap(([task, left]) => (left <= 0 ? [task] : []))
}

/** Leaves out jobs whose records another transaction has changed since, or which cannot be read. */
function readDue(rows: readonly Row[], readable: Readable): Pick<Look, 'due' | 'records'> {
  const withRecord = rowsOf(rows.filter(({ record }) => record !== null).map((row) => ({ ...row, id: row['run'] })))
  const records = new Map(readable.decode(withRecord).map((stored) => [stored.run.id, stored]))
  const due = rows.map(dueOf).filter(({ runId, jobIndex, runAt }) => {
    return records.get(runId)?.run.jobs[jobIndex]?.runAt === runAt
  })
  return { due, records: [...records.values()] }
}

function dueOf(row: Row): Due {
  // Selected above.
  const {
    run,
    job,
    kind,
    task,
    priority,
    run_at: runAt,
    is_due: isDue,
    input,
  } = row as {
    readonly run: string
    readonly job: number
    readonly kind: TaskKind
    readonly task: string
    readonly priority: number
    readonly run_at: number
    readonly is_due: boolean
    readonly input: string | null
  }
  return { runId: run, jobIndex: job, kind, task, priority, runAt, isDue, input }
}

export function slotsLeft(request: ClaimRequest, taken: readonly ClaimedJob[]): FreeSlots[] {
  const isOn = (slot: FreeSlots, { task, thread }: ClaimedJob): boolean =>
    thread === placeOf(request, task, slot.thread)
  return request.slots
    .map((slot) => ({ ...slot, count: slot.count - taken.filter((job) => isOn(slot, job)).length }))
    .filter(({ count }) => count > 0)
}

const selectPlace = {
  name: 'select-place',
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

/** @param tasks that run here; null: any */
export async function countAhead(
  query: Query,
  tasks: readonly string[] | null,
  runId: string,
  jobIndex: number,
  at: number,
): Promise<number | null> {
  if (!isRunId(runId)) return null
  const [place] = await query(selectPlace, [runId, jobIndex])
  if (place === undefined) return null
  const { kind, priority, run_at: runAt } = place
  const [row] = await query(countBefore, [kind, priority, runAt, runId, jobIndex, at, tasks])
  return Number(row?.['ahead'] ?? 0)
}
