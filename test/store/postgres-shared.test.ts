/** Several stores on one schema, as in several processes: each notifies the others, and takes over jobs of dead ones. */
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { cancelJobs } from '../../src/domain/run/transitions.ts'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, silence, type Schema } from '../harness/postgres.ts'
import { changeRecords } from '../harness/postgres-records.ts'
import { openPostgres, postgresStore } from '../harness/store-postgres.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  entryAt,
  jobIn,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
} from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

/** Ten times faster than the defaults, except for waits that a busy machine makes longer. */
const quick = { leaseMs: 2_000, renewMs: 200, roundMs: 100 }

interface Pair extends AsyncDisposable {
  readonly schema: Schema
  readonly one: Store
  readonly other: Store
}

async function openPair(): Promise<Pair> {
  const stack = new AsyncDisposableStack()
  const schema = stack.use(await lendSchema())
  const { store: one } = stack.use(postgresStore(schema, quick))
  const { store: other } = stack.use(postgresStore(schema, quick))
  // Both at once, as a deployment starts them: one makes the tables.
  await Promise.all([one.open(), other.open()])
  return { schema, one, other, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

function listen(store: Store): RunChange[] {
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  return changes
}

test('the other process is woken for accepted jobs, runs and settles them, and notifies the first', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  const changes = listen(one)
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>()
  const run = runOf({ jobs: [jobOf(), jobOf()], claimsFirst: true })
  const first = await acceptFirst(one, run, start)
  other.notifier?.onWork(wake)
  await woken
  const second = await claimOne(other, start)
  assert.equal([second.runId, second.jobIndex], [run.id, 1])
  await one.complete(first, '"first"', start + 1)
  await other.complete(second, '"second"', start + 2)
  await until('the end is told', () => changes.some(({ state }) => state === 'completed'))
  await until('every change is told', () => changes.length === 3)
  assert.equal(
    changes.map(({ version }) => version).toSorted((a, b) => a - b),
    [2, 3, 4],
  )
  assert.equal(await runIn(one, run.id), await runIn(other, run.id))
  assert.equal((await other.stats(start)).conservation, { accepted: 2, final: 2, live: 0, lost: 0 })
})

test('each job is claimed once, even if both processes claim at once', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  await one.accept(runOf({ jobs: Array.from({ length: 60 }, () => jobOf()) }), start)
  await Promise.all(Array.from({ length: 20 }, () => one.accept(runOf({ jobs: [jobOf(), jobOf()] }), start)))
  const slots = [{ thread: 'worker-1', kind: 'io', count: 5 }] as const
  const takeAll = async (store: Store): Promise<string[]> => {
    const { jobs, nextDueAt } = await store.claim(requestAt(start, { slots }))
    const names = jobs.map(({ runId, jobIndex }) => `${runId} ${jobIndex}`)
    // What the other one has locked is passed over, and soon asked for again.
    return jobs.length > 0 || nextDueAt !== null ? [...names, ...(await takeAll(store))] : names
  }
  const taken = (await Promise.all([one, other, one, other].map(takeAll))).flat()
  assert.is(taken.length, 100)
  assert.is(new Set(taken).size, 100)
})

test('both settle, cancel, retry and accept the same runs at once, and nothing is lost or stuck', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  const runs = Array.from({ length: 30 }, () => runOf({ jobs: [jobOf(), jobOf(), jobOf()], onFirstFailure: 'cancel' }))
  await Promise.all(runs.map((run) => one.accept(run, start)))
  const { jobs } = await one.claim(requestAt(start))
  const error = { code: 'task_error', message: 'no' } as const
  await Promise.all(
    jobs.flatMap((job, index) => [
      index % 3 === 0 ? one.complete(job, '1', start) : one.fail(job, error, null, start),
      other.cancel(job.runId, index % 2 === 0 ? null : job.jobIndex, start),
      other.retry(job.runId, job.jobIndex, start + 1),
      one.accept(runOf({ idempotency: { scope: '', key: `${index % 7}`, bodyDigest: '', isDeferred: false } }), start),
      other.accept(
        runOf({ idempotency: { scope: '', key: `${index % 7}`, bodyDigest: '', isDeferred: false } }),
        start,
      ),
    ]),
  )
  const { conservation, runs: byState } = await other.stats(start)
  assert.is(conservation.accepted, 90 + 7)
  assert.is(conservation.lost, 0)
  assert.is(
    Object.values(byState).reduce((sum, count) => sum + count),
    30 + 7,
  )
  for (const { jobs: rest } of [await other.claim(requestAt(start + 2)), await one.claim(requestAt(start + 2))]) {
    for (const job of rest) assert.is(await one.complete(job, '1', start + 3), 'settled')
  }
  const { live } = (await one.stats(start + 3)).conservation
  await until('both know that', () => one.backlog() === live && other.backlog() === live)
  assert.is(live, 0)
})

test('a cancel reaches the process in which the job runs', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  const run = runOf({ jobs: [jobOf(), jobOf()] })
  await one.accept(run, start)
  const { jobs } = await other.claim(requestAt(start))
  const changes = listen(other)
  await one.cancel(run.id, 1, start)
  await until('the owner hears of it', () =>
    changes.some(({ voided }) => voided.some(({ jobIndex }) => jobIndex === 1)),
  )
  assert.is(await other.complete(entryAt(jobs, 1), '1', start), 'stale')
  assert.is(await other.complete(entryAt(jobs, 0), '1', start), 'settled')
})

test('a single process sends no notifications; a second one receives them from its start on', async () => {
  await using schema = await lendSchema()
  const heard: string[] = []
  await using opened = await openPostgres(schema, { roundMs: 20 })
  const { store } = opened
  const listener = new Client({ connectionString: schema.url })
  await listener.connect()
  try {
    listener.on('notification', ({ payload = '' }) => void heard.push(payload.replace(/^\d+ (\w+).*$/s, '$1')))
    await listener.query(`LISTEN "forerunner ${schema.name}"`)
    await until('it knows that it is alone', async () => {
      heard.length = 0
      await store.complete(await acceptAndClaim(store, runOf(), start), '1', start)
      // What is told comes before what is asked for after it.
      await listener.query('SELECT 1')
      return heard.length === 0
    })
    await using other = await openPostgres(schema, { roundMs: 20 })
    const changes = listen(other.store)
    await until('it says that it has come', () => heard.includes('hello'))
    assert.equal(
      heard.filter((what) => what === 'commit'),
      [],
    )
    await until('it is told of what happens', async () => {
      await store.complete(await acceptAndClaim(store, runOf(), start), '1', start)
      return changes.some(({ state }) => state === 'completed')
    })
  } finally {
    await listener.end()
  }
})

test('an outcome is applied to the current run, even if another process has changed it without a notification', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, { roundMs: 3_600_000 })
  const { store } = opened
  const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
  await store.accept(run, start)
  const { jobs } = await store.claim(requestAt(start))
  await changeRecords(schema, (stored) => cancelJobs(stored, 1, start))
  assert.is(await store.complete(entryAt(jobs, 0), '"first"', start + 1), 'settled')
  await changeRecords(schema, (stored) => cancelJobs(stored, 2, start))
  const settled = [
    store.complete(entryAt(jobs, 1), '"late"', start + 2),
    store.complete(entryAt(jobs, 2), '"late"', start + 2),
  ]
  assert.equal(await Promise.all(settled), ['stale', 'stale'])
  const { state, version, jobs: records } = await runIn(store, run.id)
  assert.equal([state, version], ['cancelled', 5])
  assert.equal(
    records.map((job) => job.state),
    ['completed', 'cancelled', 'cancelled'],
  )
})

test('one of several requests that race with one key through both processes makes a run', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  const idempotency = { scope: '', key: 'k', bodyDigest: 'd', isDeferred: false }
  const reports = await Promise.all(
    Array.from({ length: 40 }, (_, index) => (index % 2 === 0 ? one : other).accept(runOf({ idempotency }), start)),
  )
  const { runs } = await one.listRuns({ pageSize: 10 })
  assert.is(runs.length, 1)
  const kinds = reports.map((report) => (report.result === 'replayed' ? report.runId : report.result))
  assert.is(kinds.filter((kind) => kind === 'accepted').length, 1)
  assert.is(kinds.filter((kind) => kind === runs[0]?.id).length, 39)
})

test('each process knows how many jobs the other has added', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  await one.accept(runOf({ jobs: [jobOf(), jobOf(), jobOf()] }), start)
  await other.accept(runOf(), start)
  await until('both know all', () => one.backlog() === 4 && other.backlog() === 4)
  for (const job of (await one.claim(requestAt(start))).jobs) await one.complete(job, '1', start)
  await until('both know the end', () => one.backlog() === 0 && other.backlog() === 0)
})

test('the jobs of a silent process are taken over, and its late outcomes are refused', async () => {
  await using pair = await openPair()
  const { schema, one, other } = pair
  const run = runOf({ claimsFirst: true })
  const kept = await acceptFirst(one, run, start)
  const lost = await acceptFirst(other, runOf({ claimsFirst: true }), start)
  const takeovers: number[] = []
  one.notifier?.onTakeover((jobs) => void takeovers.push(jobs))
  const [job] = await schema.query<{ holder: number }>('SELECT holder FROM job WHERE run_id = $1', [lost.runId])
  await silence(schema, job?.holder ?? 0)
  await until('it is taken over', async () => (await jobIn(one, lost.runId)).state === 'queued')
  await until('the takeover is counted', () => takeovers.length > 0)
  assert.equal(takeovers, [1])
  assert.is(await other.complete(lost, '1', start), 'stale')
  const again = await claimOne(one, Date.now())
  assert.equal([again.runId, again.attempt, again.lostStarts], [lost.runId, 1, 1])
  assert.is(await one.complete(kept, '1', start), 'settled')
})

test.run()
