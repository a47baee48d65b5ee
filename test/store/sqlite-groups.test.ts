/**
 * Whether operations travel together, whether some of them or the disk fail, and whether records are in memory makes no
 * difference: the tables hold what the same operations leave one by one, without memory, where nothing fails.
 */
import type { DatabaseSync } from 'node:sqlite'
import { inspect } from 'node:util'
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Claim } from '../../src/domain/claim.ts'
import { type Run, runningJobs } from '../../src/domain/run/aggregate.ts'
import type { ClaimResult } from '../../src/store/claim-requests.ts'
import type { RunPage } from '../../src/store/store.ts'
import { isApart } from '../../src/store/apart.ts'
import { openDatabase } from '../../src/store/sqlite/connection/database.ts'
import { createGroupCommit } from '../../src/store/sqlite/writing/group-commit.ts'
import type { Group, Operation, Reply } from '../../src/store/sqlite/messages.ts'
import { asStoredRun, type RecordRow } from '../../src/store/sqlite/statements/records.ts'
import { createTransaction, type TransactionOptions } from '../../src/store/sqlite/writing/transaction.ts'
import { jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'
import { beginning, type DrawnGroup, groups } from './group-steps.ts'

interface Engine {
  readonly database: DatabaseSync
  run(operations: readonly Operation[]): Group
  openAgain(): void
}

async function engineWith(options: TransactionOptions): Promise<Engine> {
  const { database } = await openDatabase({ path: ':memory:', waitMs: 0, onWait() {} })
  const open = (): Engine['run'] => createGroupCommit(database, createTransaction(database, options))
  let run = open()
  return {
    database,
    run: (operations) => run(operations),
    openAgain() {
      run = open()
    },
  }
}

/** No statement gets more pages than that. */
function limitPages(database: DatabaseSync, room: number | null): void {
  const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count'])
  database.exec(`PRAGMA max_page_count = ${room === null ? 1_000_000 : pages + room}`)
}

const tables = {
  record: 'SELECT id, state, version, held, finished_at, record FROM record ORDER BY key',
  queue: `SELECT record.id, job, kind, priority, task, run_at, is_suspect
    FROM queue LEFT JOIN record ON record.key = run ORDER BY run, job`,
  payload:
    'SELECT record.id, job, part, value FROM payload LEFT JOIN record ON record.key = run ORDER BY run, job, part',
  step: `SELECT record.id, job, place, name, step.finished_at, value
    FROM step LEFT JOIN record ON record.key = run ORDER BY run, job, place`,
  tasks: 'SELECT name, run_task.id FROM run_task JOIN task ON task.id = task ORDER BY name, run_task.id',
  tags: 'SELECT tag, id FROM run_tag ORDER BY tag, id',
  keys: 'SELECT * FROM idempotency_key ORDER BY scope, key',
  tally: 'SELECT totals FROM tally',
  paused: 'SELECT task FROM paused_task ORDER BY task',
  starts: 'SELECT task, at, count FROM task_start ORDER BY task, at',
}

function rowsOf(database: DatabaseSync): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(tables).map(([name, sql]) => [
      name,
      database
        .prepare(sql)
        .all()
        .map((row) => ({ ...row })),
    ]),
  )
}

const inOrder = (one: string, other: string): number => one.localeCompare(other)

/** Everything derived from records is what the records say. */
function checkDerived(database: DatabaseSync): void {
  const rows = database.prepare('SELECT key, id, version, held, record FROM record').all()
  const stored = rows.map((row) => ({ ...asStoredRun(row as unknown as RecordRow), held: row['held'] }))
  for (const { run, held } of stored) assert.is(held, runningJobs(run))
  const select = (sql: string): string[] =>
    database
      .prepare(sql)
      .all()
      .map(({ at }) => String(at))
  const ofJobs = (texts: (job: Run['jobs'][number]) => (string | number)[]): string[] =>
    stored.flatMap(({ key, run }) =>
      run.jobs.flatMap((job, index) => texts(job).map((text) => `${key}/${index}/${text}`)),
    )
  const waiting = ofJobs(({ runAt }) => (runAt === null ? [] : [runAt]))
  assert.equal(select(`SELECT concat_ws('/', run, job, run_at) AS at FROM queue ORDER BY run, job`), waiting)
  const parts = ofJobs(({ input, result, error, failures }) =>
    [input, result, error, ...failures].filter(isApart).map(({ part }) => part),
  )
  assert.equal(
    select(`SELECT concat_ws('/', run, job, part) AS at FROM payload`).toSorted(inOrder),
    parts.toSorted(inOrder),
  )
}

const isUnavailable = (reply: Reply | undefined): boolean => reply?.ok === false && reply.code === 'store-unavailable'
const withoutMessage = (reply: Reply | undefined): unknown =>
  reply?.ok === false ? { ok: false, code: reply.code } : reply

/** Runs the operations as one group on an engine, and those that were not refused one by one on the other. */
function runBoth(engine: Engine, reference: Engine, operations: readonly Operation[], room: number | null): Reply[] {
  limitPages(engine.database, room)
  const { replies } = engine.run(operations)
  limitPages(engine.database, null)
  for (const [index, operation] of operations.entries()) {
    const reply = replies[index]
    if (isUnavailable(reply)) continue
    const [expected] = reference.run([operation]).replies
    assert.equal(withoutMessage(reply), withoutMessage(expected), operation.verb)
  }
  assert.equal(rowsOf(engine.database), rowsOf(reference.database))
  checkDerived(engine.database)
  return [...replies]
}

async function bothEngines(limits: TransactionOptions): Promise<[Engine, Engine]> {
  return [await engineWith(limits), await engineWith({ ...limits, maxChanged: 0, maxJobs: 0 })]
}

/** The drawn groups, each with all its operations at once. */
async function follow(limits: TransactionOptions, drawn: readonly DrawnGroup[], log: unknown[]): Promise<void> {
  const [engine, reference] = await bothEngines(limits)
  const known = beginning()
  for (const { steps, room, opensAgain } of drawn) {
    known.at += 20
    if (opensAgain) for (const one of [engine, reference]) one.openAgain()
    const operations = steps.flatMap((step) => step(known) ?? [])
    log.push({ operations, room, opensAgain })
    known.claims.push(...runBoth(engine, reference, operations, room).flatMap(claimsIn))
    runBoth(engine, reference, [{ verb: 'stats', args: [known.at] }], null)
  }
  for (const { database } of [engine, reference]) database.close()
}

function claimsIn(reply: Reply): readonly Claim[] {
  const value = reply.ok ? reply.value : null
  return typeof value === 'object' && value !== null && 'jobs' in value ? (value as ClaimResult).jobs : []
}

const seed = Number(process.env['MODEL_SEED'] ?? 1)
const numRuns = 30 * Number(process.env['MODEL_RUNS'] ?? 1)

for (const limits of [{}, { maxChanged: 2, maxJobs: 12 }, { tasks: ['echo'] }]) {
  test(`a group leaves the same tables as its operations one by one, with ${JSON.stringify(limits)}`, async () => {
    let log: unknown[] = []
    const property = fc.asyncProperty(groups, (drawn) => {
      log = []
      return follow(limits, drawn, log)
    })
    // The latest failure is that of the shortest groups that were found.
    const { failed, errorInstance, counterexamplePath } = await fc.check(property, { numRuns, seed })
    if (failed) console.log(inspect(log, { depth: 9 }), `seed ${seed}, path ${counterexamplePath}`)
    if (failed) throw errorInstance
  })
}

test('totals that change back within a group are written again', async () => {
  const [engine, reference] = await bothEngines({})
  const run = runOf()
  const group = (...operations: Operation[]): unknown => runBoth(engine, reference, operations, null)
  group({ verb: 'accept', args: [run, start] })
  group({ verb: 'cancel', args: [run.id, null, start] })
  // Asking for suspects writes everything that the group has changed.
  const suspects = requestAt(start, { only: 'suspects' })
  group(
    { verb: 'retry', args: [run.id, 0, start] },
    { verb: 'claim', args: [suspects] },
    { verb: 'cancel', args: [run.id, null, start] },
  )
  engine.openAgain()
  group({ verb: 'stats', args: [start] })
})

test('a failed group leaves the counts of waiting jobs as they were', async () => {
  const [engine, reference] = await bothEngines({ tasks: ['echo'] })
  const [known, unknown] = [runOf(), runOf({ jobs: [jobOf({ task: 'unknown' })] })]
  const group = (...operations: Operation[]): unknown => runBoth(engine, reference, operations, null)
  group({ verb: 'accept', args: [known, start] })
  group(
    { verb: 'accept', args: [unknown, start] },
    { verb: 'leave', args: [start] },
    { verb: 'cancel', args: [unknown.id, null, start] },
    // The same id again: the group is rolled back.
    { verb: 'accept', args: [known, start] },
  )
  group({ verb: 'stats', args: [start] })
})

test('a run changed in a commit too large for the cache is not read in its previous state', async () => {
  const [engine, reference] = await bothEngines({ maxChanged: 1 })
  const [run, other] = [runOf(), runOf()]
  const group = (...operations: Operation[]): unknown => runBoth(engine, reference, operations, null)
  group({ verb: 'accept', args: [run, start] }, { verb: 'accept', args: [other, start] })
  group({ verb: 'cancel', args: [run.id, null, start] })
  group(
    { verb: 'retry', args: [run.id, 0, start] },
    { verb: 'cancel', args: [other.id, null, start] },
    { verb: 'leave', args: [start] },
    { verb: 'cancel', args: [run.id, null, start] },
  )
})

test('a page of large runs reads only the records that it shows', async () => {
  const unread: string[] = []
  const engine = await engineWith({ maxJobs: 0, onUnreadable: (message) => unread.push(message) })
  const runs = Array.from({ length: 5 }, () => runOf({ jobs: Array.from({ length: 1_000 }, () => jobOf()) }))
  for (const run of runs) engine.run([{ verb: 'accept', args: [run, start] }])
  engine.database.exec("UPDATE record SET record = '' WHERE key <= 2")
  const { replies } = engine.run([{ verb: 'listRuns', args: [{ pageSize: 5 }] }])
  const page = replies.flatMap((reply) => (reply.ok ? [reply.value as RunPage] : []))
  assert.equal(
    page.map(({ runs: shown, hasMore }) => [shown.map(({ id }) => id), hasMore]),
    [
      [
        runs
          .slice(2)
          .map(({ id }) => id)
          .toReversed(),
        true,
      ],
    ],
  )
  assert.equal(unread, [])
})

test('a record does not grow with the failures of its jobs', async () => {
  const engine = await engineWith({})
  const jobs = Array.from({ length: 200 }, () => jobOf({ input: '"input"' }))
  engine.run([{ verb: 'accept', args: [runOf({ jobs }), start] }])
  const size = (): number => Number(engine.database.prepare('SELECT length(record) AS n FROM record').get()?.['n'])
  const before = size()
  const error = { ...taskError, stack: 'x'.repeat(400) }
  for (const at of [start, start + 1]) {
    const claimed = engine.run([{ verb: 'claim', args: [requestAt(at)] }]).replies.flatMap(claimsIn)
    assert.is(claimed.length, jobs.length)
    for (const claim of claimed)
      engine.run([{ verb: 'fail', args: [claim, error, at === start ? start + 1 : null, at] }])
  }
  assert.ok(size() - before < 150 * jobs.length, `${before} characters became ${size()}`)
})

test.run()
