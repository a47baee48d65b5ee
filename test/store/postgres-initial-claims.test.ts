/** A job with a free slot is claimed in the commit that accepts it, unless a waiting job comes first. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { entryAt, jobOf, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

/** No process looks by itself, so that claims rely on notifications alone. */
const asleep = { roundMs: 3_600_000 }
const io = (count: number) => [{ thread: 'worker-1', kind: 'io', count }] as const

test('a job runs from its first version on, and the change is reported', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, asleep)
  const { store } = opened
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  assert.equal(await store.claim(requestAt(start)), { jobs: [], nextDueAt: null })
  const run = runOf({ jobs: [jobOf(), jobOf({ task: 'b', priority: 3 }), jobOf({ delayMs: 70 })], claimsFirst: true })
  const [accepted, { jobs, nextDueAt }] = await Promise.all([
    store.accept(run, start),
    store.claim(requestAt(start + 5)),
  ])
  assert.is(accepted.result === 'accepted' && accepted.first?.thread, 'main')
  assert.equal(
    jobs.map(({ jobIndex, thread, claim, attempt, waitedMs }) => [jobIndex, thread, claim, attempt, waitedMs]),
    [[1, 'worker-2', 1, 1, 5]],
  )
  assert.is(nextDueAt, start + 70)
  const { version, jobs: records } = await runIn(store, run.id)
  assert.is(version, 2)
  assert.equal(
    records.map(({ state, startedAt, runAt }) => [state, startedAt, runAt]),
    [
      ['running', start, null],
      ['running', start + 5, null],
      ['queued', null, start + 70],
    ],
  )
  await until('it is told', () => changes.length > 0)
  assert.equal(changes, [{ runId: run.id, version: 2, state: 'running', isAnswered: false, voided: [] }])
  assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 0, live: 3, lost: 0 })
  for (const job of jobs) assert.is(await store.complete(job, '1', start + 6), 'settled')
})

test('jobs of higher priority start first, within the limit of their task, and the rest waits', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, asleep)
  const { store } = opened
  await store.claim(requestAt(start))
  const jobs = [
    jobOf({ task: 'limited', priority: 9 }),
    jobOf({ task: 'a' }),
    jobOf({ task: 'limited', priority: 8 }),
    jobOf({ task: 'b', priority: 5 }),
    jobOf({ task: 'c' }),
  ]
  const claiming = (request: Parameters<typeof requestAt>[1]) => store.claim(requestAt(start, request))
  const [, born] = await Promise.all([
    store.accept(runOf({ jobs }), start),
    claiming({ slots: io(3), taskLimits: { limited: 1 } }),
  ])
  assert.equal(
    born.jobs.map(({ task }) => task),
    ['limited', 'b', 'a'],
  )
  // What waits goes before what comes: it is due earlier.
  const [, next] = await Promise.all([
    store.accept(runOf({ jobs: [jobOf({ task: 'd' })] }), start + 1),
    store.claim(requestAt(start + 1, { slots: io(1), taskLimits: { limited: 0 } })),
  ])
  assert.equal(
    next.jobs.map(({ task }) => task),
    ['c'],
  )
  const all = await store.claim(requestAt(start + 1))
  assert.equal(
    all.jobs.map(({ task }) => task),
    ['limited', 'd'],
  )
})

test('jobs that wait for a limit are claimed when it permits', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, asleep)
  const { store } = opened
  await store.accept(runOf({ jobs: [jobOf({ task: 'limited' }), jobOf({ task: 'limited' })] }), start)
  const claiming = (limited: number) => store.claim(requestAt(start, { taskLimits: { limited } }))
  const [first] = (await claiming(1)).jobs
  assert.equal((await claiming(0)).jobs, [])
  const [, born] = await Promise.all([store.accept(runOf({ jobs: [jobOf({ task: 'other' })] }), start), claiming(0)])
  assert.equal(
    born.jobs.map(({ task }) => task),
    ['other'],
  )
  assert.ok(first)
  await store.complete(first, '1', start)
  assert.equal(
    (await claiming(1)).jobs.map(({ task }) => task),
    ['limited'],
  )
})

test('jobs that are released, retried, or left by another process are found by the next claim', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, asleep)
  await using other = await openPostgres(schema, asleep)
  const { store } = opened
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>()
  await store.accept(runOf(), start)
  const takeOne = async (at: number) => {
    const { jobs, nextDueAt } = await store.claim(requestAt(at))
    assert.is(jobs.length, 1)
    assert.is(nextDueAt, null)
    assert.equal((await store.claim(requestAt(at))).jobs, [], 'nothing else waits')
    return entryAt(jobs, 0)
  }
  const released = await takeOne(start)
  await store.release(released, start)
  const failing = await takeOne(start)
  await store.fail(failing, { code: 'task_error', message: 'no' }, start + 50, start)
  assert.equal(await store.claim(requestAt(start + 49)), { jobs: [], nextDueAt: start + 50 })
  const last = await takeOne(start + 50)
  await store.fail(last, { code: 'task_error', message: 'no' }, null, start + 50)
  await store.retry(last.runId, 0, start + 50)
  await store.complete(await takeOne(start + 50), '1', start + 50)
  store.notifier?.onWork(wake)
  await other.store.accept(runOf(), start)
  await woken
  await takeOne(start + 50)
})

test.run()
