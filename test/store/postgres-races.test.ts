/** Races of two processes: a cached record that the other has changed, and rows that both lock in one order. */
import { Client } from 'pg'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { cancelJobs, completeJob, retryJob } from '../../src/domain/run/transitions.ts'
import { lendSchema } from '../harness/postgres.ts'
import { changeRecords } from '../harness/postgres-records.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptFirst, entryAt, jobOf, requestAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

test('a reply without a change comes from the current run, not from the cached one', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, { roundMs: 3_600_000 })
  const { store } = opened
  const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
  await store.accept(run, start)
  const slots = [{ thread: 'worker-1', kind: 'io', count: 1 }] as const
  const held = entryAt((await store.claim(requestAt(start, { slots }))).jobs, 0)
  assert.is(await store.cancel(run.id, 2, start), 'cancelled')

  await changeRecords(schema, (stored) => retryJob(cancelJobs(stored, 1, start), 2, start))
  assert.is(await store.retry(run.id, 1, start + 1), 'queued', 'it was cancelled elsewhere')
  await changeRecords(schema, (stored) => cancelJobs(retryJob(cancelJobs(stored, 2, start), 2, start), 1, start))
  assert.is(await store.cancel(run.id, 2, start + 1), 'cancelled', 'it was queued again elsewhere')
  await changeRecords(schema, (stored) => completeJob(stored, held, '"elsewhere"', start))
  assert.is(await store.remove(run.id), 'removed', 'it has ended elsewhere')
})

test('a run that ends in the commit that removes it leaves no rows', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  const { store } = opened
  const runs = [runOf({ claimsFirst: true }), runOf({ tags: ['t'], jobs: [jobOf({ input: `"${'x'.repeat(600)}"` })] })]
  for (const run of runs) await store.accept(run, start)
  await Promise.all(runs.flatMap(({ id }) => [store.cancel(id, null, start), store.remove(id)]))
  for (const table of ['record', 'queue', 'payload', 'holder', 'run_tag', 'run_task']) {
    assert.equal(await schema.query(`SELECT * FROM ${table}`), [], table)
  }
})

test('a process knows of a delayed job that the other accepts before it is due', async () => {
  await using schema = await lendSchema()
  const seldom = { roundMs: 3_600_000 }
  await using here = await openPostgres(schema, seldom)
  await using there = await openPostgres(schema, seldom)
  const [one, other] = [here.store, there.store]
  assert.equal(await other.claim(requestAt(start)), { jobs: [], nextDueAt: null })
  let isWoken = false
  other.notifier?.onWork(() => (isWoken = true))
  await one.accept(runOf({ jobs: [jobOf({ delayMs: 200 })] }), start)
  await until('it is woken', () => isWoken)
  assert.equal(await other.claim(requestAt(start)), { jobs: [], nextDueAt: start + 200 })
})

test('removals of runs and reuses of their keys lock in one order', async () => {
  await using schema = await lendSchema()
  // Two that wait for each other would do so until their statements are given up.
  const url = `${schema.url}?options=${encodeURIComponent('-c deadlock_timeout=60s')}`
  const place = { url, name: schema.name }
  await using here = await openPostgres(place)
  await using there = await openPostgres(place)
  const keyed = (key: string) =>
    runOf({ claimsFirst: true, idempotency: { scope: '', key, bodyDigest: 'd', isDeferred: false } })
  const waiting = async () => {
    const text = `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%idempotency_key%'`
    return (await schema.query(text)).length
  }
  // Their runs are found in another order than their keys.
  for (const key of ['z', 'a']) {
    await here.store.complete(await acceptFirst(here.store, keyed(key), start), '1', start)
  }
  const holder = new Client({ connectionString: schema.url })
  await holder.connect()
  try {
    await holder.query(`SET search_path = ${schema.name}`)
    await holder.query('BEGIN')
    await holder.query("INSERT INTO idempotency_key VALUES ('', 'm', 'd', gen_random_uuid(), false, 0)")
    const accepted = Promise.all(['a', 'm', 'z'].map((key) => there.store.accept(keyed(key), start)))
    await until('the second of them waits', async () => (await waiting()) === 1)
    const pruned = here.store.prune(start + 1, 10, start)
    await until('so does who forgets the first', async () => (await waiting()) === 2)
    await holder.query('ROLLBACK')
    const reports = await accepted
    assert.equal(
      reports.map(({ result }) => result),
      ['replayed', 'accepted', 'replayed'],
    )
    assert.is(await pruned, 2)
  } finally {
    await holder.end()
  }
})

test('prune removes no more keys than its limit, even if the statistics mislead the planner', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema)
  for (const key of ['a', 'b', 'c']) {
    await opened.store.accept(runOf({ idempotency: { scope: '', key, bodyDigest: 'd', isDeferred: false } }), start)
    if (key === 'a') await schema.query('ANALYZE idempotency_key')
  }
  assert.is(await opened.store.prune(0, 2, start + 86_400_000), 2)
})

test.run()
