/**
 * The one statement that writes: records, everything that is derived from them, totals, and notifications to other
 * processes. It consists of the parts that have something to write, and is prepared for each combination of parts.
 */

import { runningJobs, type Run } from '../../../domain/run/aggregate.ts'
import { encodeRun, stateNumber } from '../../run-codec.ts'
import type { Query, Statement } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { deliveryValues, insertDeliveries } from './deliveries.ts'
import { deleteStarts, insertStarts, startValues } from './tasks.ts'
import { countTotals, isCounted, totalValues, type Writer } from './totals.ts'
import type { Stored, Writes } from '../writing/unit-of-work.ts'

/** A record has another revision than this process knew: nothing was written. */
export class Outdated extends Error {
  override readonly name = 'Outdated'
}

/** A job was to start whose task is paused. This process did not know it, and nothing was written. */
export class StartPaused extends Error {
  override readonly name = 'StartPaused'
  /** Runs that were to be accepted. */
  readonly runIds: ReadonlySet<string>

  constructor(runs: readonly Run[]) {
    super('the task of a job that was to start is paused')
    this.runIds = new Set(idsOf(runs))
  }
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

// SQL has no expression that raises an error. These two do where a condition does not hold, each with its own SQLSTATE
// (https://www.postgresql.org/docs/current/errcodes-appendix.html).
const outdatedUnless = (condition: string): string => `1 / (${condition})::integer`
const divisionByZero = '22012'
const pausedUnless = (condition: string): string => `sqrt(CASE WHEN ${condition} THEN 0 ELSE -1 END::float8)`
const negativeRoot = '2201F'

const statements = new Map<string, Statement>()

/**
 * @param messages that other processes receive with the commit
 * @param starting the tasks of the jobs that start
 * @throws Outdated where a record has another revision @throws StartPaused @throws DatabaseFailure
 */
export async function saveWrites(
  query: Query,
  writer: Writer,
  channel: string,
  writes: Writes,
  messages: readonly string[],
  starting: readonly string[] = [],
): Promise<Written> {
  const parts = partsOf(writer, writes)
  const outputs = [
    starting.length > 0 && { name: 'starting', sql: noneIsPaused, values: [starting] },
    messages.length > 0 && { name: 'notifications', sql: notifications, values: [channel, messages] },
  ].filter((output) => output !== false)
  const all = [...parts, ...outputs]
  const name = all.map((part) => part.name).join(' ')
  const values = all.flatMap((part) => part.values)
  // PostgreSQL keeps 63 bytes of a name: it is cut, and numbered.
  const statement = statements.get(name) ?? compose(`write ${name.slice(0, 50)} ${statements.size}`, parts, outputs)
  statements.set(name, statement)
  try {
    const [row] = await query(statement, values)
    const live = row?.['live']
    return { live: typeof live === 'number' ? live : null }
  } catch (error) {
    if (isFailure(error) && error.code === divisionByZero) throw new Outdated('a record has another revision')
    if (isFailure(error) && error.code === negativeRoot) throw new StartPaused(writes.added)
    throw error
  }
}

// Evaluated before the transaction ends: what was paused before starts nothing.
const noneIsPaused = `${pausedUnless('NOT EXISTS (SELECT FROM paused_task WHERE task = ANY(?::text[]))')} AS may_start`
const notifications = '(SELECT count(pg_notify(?, message)) FROM unnest(?::text[]) AS message) AS notified'

/** Whether there is anything to write. */
export function hasWrites({ added, changed, removed }: Writes): boolean {
  return added.length + changed.length + removed.length > 0
}

function compose(name: string, parts: readonly Part[], outputs: readonly Part[]): Statement {
  const has = (part: string): boolean => parts.some((one) => one.name === part)
  const selected = [
    // First, so that records are locked before anything else. Where not all of them were current, nothing is written.
    ...(has('changed')
      ? [`${outdatedUnless('SELECT count(*) = coalesce(min(wanted), -1) FROM changed')} AS is_current`]
      : []),
    has('totals') ? '(SELECT live FROM totals) AS live' : 'NULL::bigint AS live',
    ...outputs.map(({ sql }) => sql),
  ]
  let place = 0
  const text = `WITH ${parts.map((part) => `${part.name} AS (${part.sql})`).join(', ')} SELECT ${selected.join(', ')}`
  return {
    name,
    text: text.replaceAll('?', () => {
      place += 1
      return `$${place}`
    }),
  }
}

function partsOf(writer: Writer, writes: Writes): Part[] {
  const { added, changed, removed, starts, totals } = writes
  const put = writes.payloads.filter(({ text }) => text !== null)
  const dropped = writes.payloads.filter(({ text }) => text === null)
  const parts: Part[] = []
  /** Adds a part, unless it has no rows. */
  function add<Row>(
    name: string,
    sql: string,
    rows: readonly Row[],
    values: (rows: readonly Row[]) => unknown[],
  ): void {
    if (rows.length > 0) parts.push({ name, sql, values: values(rows) })
  }
  add('added', insertRecords, added, recordValues)
  add('changed', updateRecords, changed, changedValues)
  add('removed', deleteRecords, removed, idValues)
  add('payloads_put', putPayloads, put, columns('runId', 'jobIndex', 'part', 'text'))
  add('payloads_removed', deletePayloads, dropped, columns('runId', 'jobIndex', 'part'))
  add('steps_added', insertSteps, writes.steps, columns('runId', 'jobIndex', 'place', 'name', 'at', 'value'))
  add('steps_removed', deleteSteps, writes.stepless, columns('runId', 'jobIndex'))
  add('queue_added', insertQueue, writes.queued, columns(...queueKey, 'lost', 'since', 'expiresAt'))
  add('queue_removed', deleteQueue, writes.unqueued, columns(...queueKey))
  add('holders_added', insertHolders, writes.held, columns('process', 'runId'))
  add('holders_removed', deleteHolders, writes.unheld, columns('process', 'runId'))
  add('deliveries_added', insertDeliveries, writes.deliveries, deliveryValues)
  add('tags_added', insertTags, tagsOf(added), columns('name', 'runId'))
  add('tasks_added', insertTasks, tasksOf(added), columns('name', 'runId'))
  // Everything else of runs that are removed.
  add('payloads_forgotten', deleteOf('payload'), removed, idValues)
  add('steps_forgotten', deleteOf('step'), removed.filter(hasSteps), idValues)
  add('lines_forgotten', deleteOf('log_chunk'), removed, idValues)
  add('deliveries_forgotten', deleteOf('delivery'), removed.filter(hasWebhook), idValues)
  add('keys_forgotten', deleteKeys, removed, idValues)
  add('search_forgotten', deleteOf('search'), removed, idValues)
  add('tags_forgotten', deleteNames('run_tag', 'tag'), tagsOf(removed), columns('name', 'runId'))
  add('tasks_forgotten', deleteNames('run_task', 'task'), tasksOf(removed), columns('name', 'runId'))
  add('starts_added', insertStarts, starts, startValues)
  add('starts_removed', deleteStarts, starts, columns('task'))
  if (isCounted(totals)) {
    parts.push({ name: 'totals', sql: countTotals, values: [writer.process, writer.writer, ...totalValues(totals)] })
  }
  return parts
}

/** Values of these members of the rows, each as one array. */
function columns<Name extends string>(...names: Name[]) {
  return (rows: readonly Readonly<Record<Name, unknown>>[]): unknown[] =>
    names.map((name) => rows.map((row) => row[name]))
}

const insertRecords = `INSERT INTO record (id, state, version, revision, jobs, held, finished_at, record)
  SELECT id, state, version, 1, jobs, held, finished_at, record
  FROM unnest(?::uuid[], ?::integer[], ?::smallint[], ?::integer[], ?::integer[], ?::bigint[], ?::text[])
    AS new (id, jobs, state, version, held, finished_at, record)`

function recordValues(runs: readonly Run[]): unknown[] {
  return [idsOf(runs), runs.map(({ jobs }) => jobs.length), ...contentsOf(runs)]
}

/** State, version, held, finished_at and record. */
function contentsOf(runs: readonly Run[]): unknown[] {
  return [
    runs.map(({ state }) => stateNumber(state)),
    runs.map(({ version }) => version),
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
  return [idsOf(runs), inOrder.map(({ revision }) => revision), ...contentsOf(runs), runs.length]
}

const deleteRecords = 'DELETE FROM record WHERE id = ANY(?::uuid[])'

const putPayloads = `INSERT INTO payload (run, job, part, value)
  SELECT * FROM unnest(?::uuid[], ?::integer[], ?::integer[], ?::text[])
  ON CONFLICT (run, job, part) DO UPDATE SET value = excluded.value`
const deletePayloads = `DELETE FROM payload
  USING unnest(?::uuid[], ?::integer[], ?::integer[]) AS old (run, job, part)
  WHERE payload.run = old.run AND payload.job = old.job AND payload.part = old.part`

const insertSteps = `INSERT INTO step (run, job, place, name, finished_at, value)
  SELECT * FROM unnest(?::uuid[], ?::integer[], ?::integer[], ?::text[], ?::bigint[], ?::text[])`
const deleteSteps = `DELETE FROM step USING unnest(?::uuid[], ?::integer[]) AS old (run, job)
  WHERE step.run = old.run AND step.job = old.job`

const queueKey = ['kind', 'priority', 'isDue', 'task', 'runAt', 'runId', 'jobIndex'] as const
const queueKeyArrays = '?::text[], ?::integer[], ?::boolean[], ?::text[], ?::bigint[], ?::uuid[], ?::integer[]'
const insertQueue = `INSERT INTO queue (kind, priority, is_due, task, run_at, run, job, lost, waits_since, expires_at)
  SELECT * FROM unnest(${queueKeyArrays}, ?::smallint[], ?::bigint[], ?::bigint[])`
const deleteQueue = `DELETE FROM queue
  USING unnest(${queueKeyArrays}) AS old (kind, priority, is_due, task, run_at, run, job)
  WHERE queue.kind = old.kind AND queue.priority = old.priority AND queue.is_due = old.is_due
    AND queue.task = old.task AND queue.run_at = old.run_at AND queue.run = old.run AND queue.job = old.job`

const insertHolders = 'INSERT INTO holder (process, run) SELECT * FROM unnest(?::integer[], ?::uuid[])'
const deleteHolders = `DELETE FROM holder USING unnest(?::integer[], ?::uuid[]) AS old (process, run)
  WHERE holder.process = old.process AND holder.run = old.run`

const insertTags = 'INSERT INTO run_tag (tag, run_id) SELECT * FROM unnest(?::text[], ?::uuid[])'
const insertTasks = 'INSERT INTO run_task (task, run_id) SELECT * FROM unnest(?::text[], ?::uuid[])'

// In the order in which every transaction locks them.
const deleteKeys = `DELETE FROM idempotency_key AS known
  USING (SELECT scope, key FROM idempotency_key WHERE run_id = ANY(?::uuid[]) ORDER BY scope, key FOR UPDATE) AS old
  WHERE known.scope = old.scope AND known.key = old.key`

/** SQL: deletes the rows of these runs. */
function deleteOf(table: string): string {
  return `DELETE FROM ${table} WHERE run = ANY(?::uuid[])`
}

/** SQL: deletes rows by name and run. */
function deleteNames(table: string, column: string): string {
  return `DELETE FROM ${table} USING unnest(?::text[], ?::uuid[]) AS old (name, run_id)
  WHERE ${table}.${column} = old.name AND ${table}.run_id = old.run_id`
}

interface NameRow {
  readonly name: string
  readonly runId: string
}

function tagsOf(runs: readonly Run[]): NameRow[] {
  return runs.flatMap(({ id: runId, tags }) => [...new Set(tags)].map((tag) => ({ name: tagText(tag), runId })))
}

function tasksOf(runs: readonly Run[]): NameRow[] {
  return runs.flatMap(({ id: runId, jobs }) =>
    [...new Set(jobs.map(({ task: name }) => name))].map((name) => ({ name, runId })),
  )
}

function hasSteps({ jobs }: Run): boolean {
  return jobs.some(({ steps }) => steps !== null)
}

function hasWebhook({ webhook }: Run): boolean {
  return webhook !== null
}

function idsOf(runs: readonly Run[]): string[] {
  return runs.map(({ id }) => id)
}

function idValues(runs: readonly Run[]): unknown[] {
  return [idsOf(runs)]
}

/** As JSON, because a tag can hold characters that PostgreSQL's text cannot. */
export function tagText(tag: string): string {
  return JSON.stringify(tag)
}
