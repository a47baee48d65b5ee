/**
 * The one statement that writes: records, everything that is derived from them, totals, and notifications to other
 * processes. It consists of the parts that have something to write, and is prepared for each combination of parts.
 */

import { runningJobs, type Run } from '../../../domain/run/aggregate.ts'
import { encodeRun, stateNumber } from '../../record.ts'
import type { Query, Statement } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { deleteDeliveries, deliveryValues, insertDeliveries } from './deliveries.ts'
import { deleteStarts, insertStarts, startValues } from './tasks.ts'
import { countTotals, isCounted, totalValues, type Writer } from './totals.ts'
import type { HolderRow, QueueRow, Stored, Writes } from '../writing/unit-of-work.ts'

/** A record has another revision than this process knew: nothing was written. */
export class Outdated extends Error {
  override readonly name = 'Outdated'
}

export interface Written {
  /** This writer's share of the backlog: jobs it added, less jobs it ended; null if nothing was counted. */
  readonly live: number | null
}

interface Part {
  readonly name: string
  /** With a question mark for each value. */
  readonly sql: string
  readonly values: readonly unknown[]
}

/** SQLSTATE of a division by zero (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const divisionByZero = '22012'

const statements = new Map<string, Statement>()

/**
 * @param messages that other processes receive with the commit
 * @throws Outdated where a record has another revision @throws DatabaseFailure
 */
export async function saveWrites(
  query: Query,
  writer: Writer,
  channel: string,
  writes: Writes,
  messages: readonly string[],
): Promise<Written> {
  const parts = partsOf(writer, writes)
  const name = [...parts.map((part) => part.name), ...(messages.length > 0 ? ['notices'] : [])].join(' ')
  const values = parts.flatMap((part) => part.values)
  if (messages.length > 0) values.push(channel, messages)
  // PostgreSQL keeps 63 bytes of a name: it is cut, and numbered.
  const statement =
    statements.get(name) ?? compose(`write ${name.slice(0, 50)} ${statements.size}`, parts, messages.length > 0)
  statements.set(name, statement)
  try {
    const [row] = await query(statement, values)
    const live = row?.['live']
    return { live: typeof live === 'number' ? live : null }
  } catch (error) {
    if (isFailure(error) && error.code === divisionByZero) throw new Outdated('a record has another revision')
    throw error
  }
}

/** Whether there is anything to write. */
export function hasWrites({ added, changed, removed }: Writes): boolean {
  return added.length + changed.length + removed.length > 0
}

function compose(name: string, parts: readonly Part[], hasNotices: boolean): Statement {
  const has = (part: string): boolean => parts.some((one) => one.name === part)
  const outputs = [
    // First, so that records are locked before anything else. Where not all of them were current, nothing is written.
    ...(has('changed')
      ? ['1 / (SELECT count(*) = coalesce(min(wanted), -1) FROM changed)::integer AS is_current']
      : []),
    has('totals') ? '(SELECT live FROM totals) AS live' : 'NULL::bigint AS live',
    ...(hasNotices ? ['(SELECT count(pg_notify(?, message)) FROM unnest(?::text[]) AS message) AS told'] : []),
  ]
  let place = 0
  const text = `WITH ${parts.map((part) => `${part.name} AS (${part.sql})`).join(', ')} SELECT ${outputs.join(', ')}`
  return {
    name,
    text: text.replaceAll('?', () => {
      place += 1
      return `$${place}`
    }),
  }
}

function partsOf(writer: Writer, writes: Writes): Part[] {
  const puts = writes.payloads.filter(({ text }) => text !== null)
  const drops = writes.payloads.filter(({ text }) => text === null)
  const payloadKeys = (rows: typeof puts) => [
    rows.map(({ runId }) => runId),
    rows.map(({ jobIndex }) => jobIndex),
    rows.map(({ part }) => part),
  ]
  const tags = writes.added.flatMap((run) => [...new Set(run.tags)].map((tag) => ({ name: tagText(tag), id: run.id })))
  const tasks = writes.added.flatMap((run) => tasksOf(run).map((task) => ({ name: task, id: run.id })))
  const named = (rows: typeof tags) => [rows.map(({ name }) => name), rows.map(({ id }) => id)]
  const parts: (Part | false)[] = [
    writes.added.length > 0 && { name: 'added', sql: insertRecords, values: recordValues(writes.added) },
    writes.changed.length > 0 && { name: 'changed', sql: updateRecords, values: changedValues(writes.changed) },
    writes.removed.length > 0 && { name: 'removed', sql: deleteRecords, values: [idsOf(writes.removed)] },
    puts.length > 0 && {
      name: 'put',
      sql: putPayloads,
      values: [...payloadKeys(puts), puts.map(({ text }) => text)],
    },
    drops.length > 0 && { name: 'dropped', sql: dropPayloads, values: payloadKeys(drops) },
    writes.steps.length > 0 && { name: 'stepped', sql: insertSteps, values: stepValues(writes.steps) },
    writes.stepless.length > 0 && { name: 'unstepped', sql: dropSteps, values: stepKeys(writes.stepless) },
    writes.queued.length > 0 && { name: 'queued', sql: insertQueue, values: queueValues(writes.queued) },
    writes.unqueued.length > 0 && { name: 'unqueued', sql: deleteQueue, values: queueKeys(writes.unqueued) },
    writes.held.length > 0 && { name: 'held', sql: insertHolders, values: holderValues(writes.held) },
    writes.unheld.length > 0 && { name: 'unheld', sql: deleteHolders, values: holderValues(writes.unheld) },
    writes.deliveries.length > 0 && {
      name: 'due',
      sql: insertDeliveries,
      values: deliveryValues(writes.deliveries),
    },
    tags.length > 0 && { name: 'tags', sql: insertTags, values: named(tags) },
    tasks.length > 0 && { name: 'tasks', sql: insertTasks, values: named(tasks) },
    ...forgetting(writes.removed),
    writes.starts.length > 0 && { name: 'started', sql: insertStarts, values: startValues(writes.starts) },
    writes.starts.length > 0 && {
      name: 'outlived',
      sql: deleteStarts,
      values: [writes.starts.map(({ task }) => task)],
    },
    isCounted(writes.totals) && {
      name: 'totals',
      sql: countTotals,
      values: [writer.process, writer.writer, ...totalValues(writes.totals)],
    },
  ]
  return parts.filter((part) => part !== false)
}

const insertRecords = `INSERT INTO record (id, state, version, revision, jobs, held, finished_at, record)
  SELECT id, state, version, 1, jobs, held, finished_at, record
  FROM unnest(?::uuid[], ?::smallint[], ?::integer[], ?::integer[], ?::integer[], ?::bigint[], ?::text[])
    AS new (id, state, version, jobs, held, finished_at, record)`

function recordValues(runs: readonly Run[]): unknown[] {
  return [
    idsOf(runs),
    runs.map(({ state }) => stateNumber(state)),
    runs.map(({ version }) => version),
    runs.map(({ jobs }) => jobs.length),
    runs.map(runningJobs),
    runs.map(({ finishedAt }) => finishedAt),
    runs.map(encodeRun),
  ]
}

// The list is sorted by id, the order in which every transaction locks records. A nested loop, the only join that the
// connection allows, keeps that order.
const updateRecords = `UPDATE record SET state = new.state, version = new.version, revision = new.revision + 1,
    held = new.held, finished_at = new.finished_at, record = new.record
  FROM unnest(?::uuid[], ?::integer[], ?::smallint[], ?::integer[], ?::integer[], ?::bigint[], ?::text[])
    AS new (id, revision, state, version, held, finished_at, record)
  WHERE record.id = new.id AND record.revision = new.revision RETURNING ?::integer AS wanted`

function changedValues(changed: readonly Stored[]): unknown[] {
  const inOrder = changed.toSorted((one, other) => (one.run.id < other.run.id ? -1 : 1))
  const runs = inOrder.map(({ run }) => run)
  return [
    idsOf(runs),
    inOrder.map(({ revision }) => revision),
    runs.map(({ state }) => stateNumber(state)),
    runs.map(({ version }) => version),
    runs.map(runningJobs),
    runs.map(({ finishedAt }) => finishedAt),
    runs.map(encodeRun),
    runs.length,
  ]
}

const deleteRecords = 'DELETE FROM record WHERE id = ANY(?::uuid[])'

const putPayloads = `INSERT INTO payload (run, job, part, value)
  SELECT * FROM unnest(?::uuid[], ?::integer[], ?::integer[], ?::text[])
  ON CONFLICT (run, job, part) DO UPDATE SET value = excluded.value`
const dropPayloads = `DELETE FROM payload
  USING unnest(?::uuid[], ?::integer[], ?::integer[]) AS old (run, job, part)
  WHERE payload.run = old.run AND payload.job = old.job AND payload.part = old.part`

const insertSteps = `INSERT INTO step (run, job, place, name, finished_at, value)
  SELECT * FROM unnest(?::uuid[], ?::integer[], ?::integer[], ?::text[], ?::bigint[], ?::text[])`
const dropSteps = `DELETE FROM step USING unnest(?::uuid[], ?::integer[]) AS old (run, job)
  WHERE step.run = old.run AND step.job = old.job`

function stepKeys(rows: Writes['stepless']): unknown[] {
  return [rows.map(({ runId }) => runId), rows.map(({ jobIndex }) => jobIndex)]
}

function stepValues(rows: Writes['steps']): unknown[] {
  return [
    ...stepKeys(rows),
    rows.map(({ place }) => place),
    rows.map(({ name }) => name),
    rows.map(({ at }) => at),
    rows.map(({ value }) => value),
  ]
}

const queueArrays = '?::text[], ?::integer[], ?::boolean[], ?::text[], ?::bigint[], ?::uuid[], ?::integer[]'
const insertQueue = `INSERT INTO queue (kind, priority, is_due, task, run_at, run, job, lost, waits_since, expires_at)
  SELECT * FROM unnest(${queueArrays}, ?::smallint[], ?::bigint[], ?::bigint[])`
const deleteQueue = `DELETE FROM queue
  USING unnest(${queueArrays}) AS old (kind, priority, is_due, task, run_at, run, job)
  WHERE queue.kind = old.kind AND queue.priority = old.priority AND queue.is_due = old.is_due
    AND queue.task = old.task AND queue.run_at = old.run_at AND queue.run = old.run AND queue.job = old.job`

function queueKeys(rows: readonly QueueRow[]): unknown[] {
  return [
    rows.map(({ kind }) => kind),
    rows.map(({ priority }) => priority),
    rows.map(({ isDue }) => String(isDue)),
    rows.map(({ task }) => task),
    rows.map(({ runAt }) => runAt),
    rows.map(({ runId }) => runId),
    rows.map(({ jobIndex }) => jobIndex),
  ]
}

function queueValues(rows: readonly QueueRow[]): unknown[] {
  return [
    ...queueKeys(rows),
    rows.map(({ lost }) => lost),
    rows.map(({ since }) => since),
    rows.map(({ expiresAt }) => expiresAt),
  ]
}

const insertHolders = 'INSERT INTO holder (process, run) SELECT * FROM unnest(?::integer[], ?::uuid[])'
const deleteHolders = `DELETE FROM holder USING unnest(?::integer[], ?::uuid[]) AS old (process, run)
  WHERE holder.process = old.process AND holder.run = old.run`

function holderValues(rows: readonly HolderRow[]): unknown[] {
  return [rows.map(({ process }) => process), rows.map(({ runId }) => runId)]
}

const insertTags = 'INSERT INTO run_tag (tag, run_id) SELECT * FROM unnest(?::text[], ?::uuid[])'
const insertTasks = 'INSERT INTO run_task (task, run_id) SELECT * FROM unnest(?::text[], ?::uuid[])'

// In the order in which every transaction locks them.
const deleteKeys = `DELETE FROM idempotency_key AS known
  USING (SELECT scope, key FROM idempotency_key WHERE run_id = ANY(?::uuid[]) ORDER BY scope, key FOR UPDATE) AS old
  WHERE known.scope = old.scope AND known.key = old.key`

/** Removes everything of these runs except their records. */
function forgetting(runs: readonly Run[]): Part[] {
  if (runs.length === 0) return []
  const tags = runs.flatMap(({ id, tags: all }) => [...new Set(all)].map((tag) => ({ name: tagText(tag), id })))
  const tasks = runs.flatMap((run) => tasksOf(run).map((name) => ({ name, id: run.id })))
  const reported = runs.filter(({ webhook }) => webhook !== null)
  const values = (rows: typeof tags) => [rows.map(({ name }) => name), rows.map(({ id }) => id)]
  const listed = (table: string, column: string) => `DELETE FROM ${table}
    USING unnest(?::text[], ?::uuid[]) AS old (name, run_id)
    WHERE ${table}.${column} = old.name AND ${table}.run_id = old.run_id`
  const stepped = runs.filter(({ jobs }) => jobs.some(({ steps }) => steps !== null))
  return [
    ...(stepped.length === 0
      ? []
      : [{ name: 'stepless', sql: 'DELETE FROM step WHERE run = ANY(?::uuid[])', values: [idsOf(stepped)] }]),
    { name: 'unkeyed', sql: deleteKeys, values: [idsOf(runs)] },
    { name: 'unfound', sql: 'DELETE FROM search WHERE run = ANY(?::uuid[])', values: [idsOf(runs)] },
    { name: 'unlogged', sql: 'DELETE FROM log_chunk WHERE run = ANY(?::uuid[])', values: [idsOf(runs)] },
    { name: 'unpaid', sql: 'DELETE FROM payload WHERE run = ANY(?::uuid[])', values: [idsOf(runs)] },
    { name: 'untagged', sql: listed('run_tag', 'tag'), values: values(tags) },
    { name: 'untasked', sql: listed('run_task', 'task'), values: values(tasks) },
    ...(reported.length === 0 ? [] : [{ name: 'undue', sql: deleteDeliveries, values: [idsOf(reported)] }]),
  ]
}

function idsOf(runs: readonly Run[]): string[] {
  return runs.map(({ id }) => id)
}

function tasksOf({ jobs }: Run): string[] {
  return [...new Set(jobs.map(({ task }) => task))]
}

/** As JSON, because a tag can hold characters that PostgreSQL's text cannot. */
export function tagText(tag: string): string {
  return JSON.stringify(tag)
}
