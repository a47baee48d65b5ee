/**
 * The statement that writes records, everything that is derived from them, totals, and notifications to other processes.
 * It consists of the parts that have something to write, and is prepared for each combination of parts.
 */
import { runningJobs, type Run } from '../../../domain/run/aggregate.ts'
import { encodeRun, stateNumber } from '../../run-codec.ts'
import { columns, type Query, type Statement } from '../connection/connection.ts'
import { isFailure } from '../connection/errors.ts'
import { deliveryRow, insertDeliveries } from './deliveries.ts'
import { deleteStarts, insertStarts, startRow } from './tasks.ts'
import { countTotals, isCounted, totalValues, type Writer } from './totals.ts'
import type { Stored, Writes } from '../writing/unit-of-work.ts'

/** Nothing was written: a record has another revision than this process knew. */
export class Outdated extends Error {
  override readonly name = 'Outdated'
}

/** Nothing was written: a job would start whose task another process has paused. */
export class StartPaused extends Error {
  override readonly name = 'StartPaused'
  /** The runs to be accepted. */
  readonly runIds: ReadonlySet<string>

  constructor(runs: readonly Run[]) {
    super('the task of a job that would start is paused')
    this.runIds = new Set(runs.map(({ id }) => id))
  }
}

interface Part {
  readonly name: string
  /** With a question mark for each value. */
  readonly sql: string
  readonly values: readonly unknown[]
}

// A statement that must write nothing has to fail, and SQL has no expression that raises an error. So each of these two
// makes the server raise one if its condition is false: a division by zero, and the root of a negative number. The SQLSTATE
// of the error (https://www.postgresql.org/docs/current/errcodes-appendix.html) tells which condition it was.
const outdatedUnless = (condition: string): string => `1 / (${condition})::integer`
const divisionByZero = '22012'
const pausedUnless = (condition: string): string => `sqrt(CASE WHEN ${condition} THEN 0 ELSE -1 END::float8)`
const negativeRoot = '2201F'

// Evaluated before the transaction ends: a job of a task that was paused before does not start.
const noneIsPaused = `${pausedUnless('NOT EXISTS (SELECT FROM paused_task WHERE task = ANY(?::text[]))')} AS may_start`
const notifications = '(SELECT count(pg_notify(?, message)) FROM unnest(?::text[]) AS message) AS notified'

const statements = new Map<string, Statement>()

interface CommitMessages {
  readonly channel: string
  /** Sent to other processes with the commit. */
  readonly messages: readonly string[]
  /** The tasks of jobs that start. */
  readonly starting: readonly string[]
}

/**
 * @returns the writer's share of the backlog: jobs it added, less jobs it ended; null if nothing was counted
 * @throws Outdated @throws StartPaused @throws DatabaseFailure
 */
export async function saveWrites(
  query: Query,
  writer: Writer,
  writes: Writes,
  { channel, messages, starting }: CommitMessages = { channel: '', messages: [], starting: [] },
): Promise<{ readonly share: number | null }> {
  const parts = partsOf(writer, writes)
  const outputs: Part[] = []
  if (starting.length > 0) outputs.push({ name: 'starting', sql: noneIsPaused, values: [starting] })
  if (messages.length > 0) outputs.push({ name: 'notifications', sql: notifications, values: [channel, messages] })
  const all = [...parts, ...outputs]
  const name = all.map((part) => part.name).join(' ')
  const values = all.flatMap((part) => part.values)
  // PostgreSQL keeps 63 bytes of a name: it is cut, and numbered.
  const statement = statements.get(name) ?? compose(`write ${name.slice(0, 50)} ${statements.size}`, parts, outputs)
  statements.set(name, statement)
  try {
    const [row] = await query(statement, values)
    const share = row?.['share']
    return { share: typeof share === 'number' ? share : null }
  } catch (error) {
    if (isFailure(error) && error.code === divisionByZero) throw new Outdated('a record has another revision')
    if (isFailure(error) && error.code === negativeRoot) throw new StartPaused(writes.added)
    throw error
  }
}

/** Whether there is anything to write. */
export function hasWrites({ added, changed, removed }: Writes): boolean {
  return added.length + changed.length + removed.length > 0
}

function compose(name: string, parts: readonly Part[], outputs: readonly Part[]): Statement {
  const has = (part: string): boolean => parts.some((one) => one.name === part)
  // First, so that records are locked before other rows, as in every transaction: PostgreSQL runs a part when an expression
  // needs it, and all others at the end. It does not promise that, but no order is wrong: the statement writes all or nothing,
  // and of two that wait for each other, one is sent again. -1: no record has the known revision.
  const isCurrent = `${outdatedUnless('SELECT count(*) = coalesce(min(wanted), -1) FROM changed')} AS is_current`
  const selected = [
    ...(has('changed') ? [isCurrent] : []),
    has('totals') ? '(SELECT share FROM totals) AS share' : 'NULL::bigint AS share',
    ...outputs.map(({ sql }) => sql),
  ]
  const text = `WITH ${parts.map((part) => `${part.name} AS (${part.sql})`).join(', ')} SELECT ${selected.join(', ')}`
  let parameters = 0
  return { name, text: text.replaceAll('?', () => `$${(parameters += 1)}`) }
}

function partsOf(writer: Writer, writes: Writes): Part[] {
  const { added, changed, removed, payloads, starts, totals } = writes
  const parts: Part[] = []
  /** Adds a part for the rows, with the values of these members; no rows, no part. */
  function add<Row>(name: string, sql: string, rows: readonly Row[], ...members: (keyof Row)[]): void {
    if (rows.length > 0) parts.push({ name, sql, values: columns(rows, ...members) })
  }
  add('added', insertRecords, added.map(addedRow), 'id', 'jobs', ...recordMembers)
  add('changed', updateRecords, changedRows(changed), 'id', 'revision', ...recordMembers, 'wanted')
  add('removed', deleteRecords, removed, 'id')
  const put = payloads.filter(({ text }) => text !== null)
  const dropped = payloads.filter(({ text }) => text === null)
  add('payloads_put', putPayloads, put, 'runId', 'jobIndex', 'part', 'text')
  add('payloads_removed', deletePayloads, dropped, 'runId', 'jobIndex', 'part')
  add('steps_added', insertSteps, writes.steps, 'runId', 'jobIndex', 'index', 'name', 'at', 'value')
  add('steps_removed', deleteSteps, writes.stepless, 'runId', 'jobIndex')
  add('queue_added', insertQueue, writes.queued, ...queueKey, 'lost', 'since', 'expiresAt')
  add('queue_removed', deleteQueue, writes.unqueued, ...queueKey)
  add('holders_added', insertHolders, writes.held, 'processId', 'runId')
  add('holders_removed', deleteHolders, writes.unheld, 'processId', 'runId')
  add(
    'deliveries_added',
    insertDeliveries,
    writes.deliveries.map(deliveryRow),
    'runId',
    'version',
    'receiver',
    'outcome',
    'endedAt',
  )
  add('tags_added', insertTags, tagsOf(added), 'name', 'runId')
  add('tasks_added', insertTasks, tasksOf(added), 'name', 'runId')
  // All other rows of removed runs.
  add('payloads_of_removed', deleteOf('payload'), removed, 'id')
  add('steps_of_removed', deleteOf('step'), removed.filter(hasSteps), 'id')
  add('lines_of_removed', deleteOf('log_chunk'), removed, 'id')
  add('deliveries_of_removed', deleteOf('delivery'), removed.filter(hasWebhook), 'id')
  add('keys_of_removed', deleteKeys, removed, 'id')
  add('search_of_removed', deleteOf('search'), removed, 'id')
  add('tags_of_removed', deleteNames('run_tag', 'tag'), tagsOf(removed), 'name', 'runId')
  add('tasks_of_removed', deleteNames('run_task', 'task'), tasksOf(removed), 'name', 'runId')
  add('starts_added', insertStarts, starts.map(startRow), 'task', 'count', 'stepMs', 'perMs')
  add('starts_removed', deleteStarts, starts, 'task')
  if (isCounted(totals)) {
    parts.push({ name: 'totals', sql: countTotals, values: [writer.processId, writer.writer, ...totalValues(totals)] })
  }
  return parts
}

const insertRecords = `INSERT INTO record (id, state, version, revision, jobs, held, finished_at, record)
  SELECT id, state, version, 1, jobs, held, finished_at, record
  FROM unnest(?::uuid[], ?::integer[], ?::smallint[], ?::integer[], ?::integer[], ?::bigint[], ?::text[])
    AS new (id, jobs, state, version, held, finished_at, record)`

const recordMembers = ['state', 'version', 'held', 'finishedAt', 'record'] as const

function recordRow(run: Run) {
  const { id, state, version, finishedAt } = run
  return { id, state: stateNumber(state), version, held: runningJobs(run), finishedAt, record: encodeRun(run) }
}

function addedRow(run: Run) {
  return { ...recordRow(run), jobs: run.jobs.length }
}

// Rows are sorted by id, the order in which every transaction locks records. The connection allows only nested loops, and
// these keep the order.
const updateRecords = `UPDATE record SET state = new.state, version = new.version, revision = new.revision + 1,
    held = new.held, finished_at = new.finished_at, record = new.record
  FROM unnest(?::uuid[], ?::integer[], ?::smallint[], ?::integer[], ?::integer[], ?::bigint[], ?::text[], ?::integer[])
    AS new (id, revision, state, version, held, finished_at, record, wanted)
  WHERE record.id = new.id AND record.revision = new.revision RETURNING wanted`

/** `wanted` is the number of records to change, so that the statement can compare it with the number of changed ones. */
function changedRows(changed: readonly Stored[]) {
  return changed
    .toSorted((one, other) => (one.run.id < other.run.id ? -1 : 1))
    .map(({ run, revision }) => ({ ...recordRow(run), revision, wanted: changed.length }))
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

// Locks the keys in the order of every transaction.
const deleteKeys = `DELETE FROM idempotency_key AS known
  USING (SELECT scope, key FROM idempotency_key WHERE run_id = ANY(?::uuid[]) ORDER BY scope, key FOR UPDATE) AS old
  WHERE known.scope = old.scope AND known.key = old.key`

/** SQL: deletes the table's rows of the runs. */
function deleteOf(table: string): string {
  return `DELETE FROM ${table} WHERE run = ANY(?::uuid[])`
}

/** SQL: deletes the table's rows by name and run. */
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

/** A tag as the tables store it: as JSON, because it can hold characters that PostgreSQL's text cannot. */
export function tagText(tag: string): string {
  return JSON.stringify(tag)
}
