/** Paused tasks of several processes: each notifies the others, and no claim relies on that. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { lendSchema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { claimOne, jobIn, jobOf, requestAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

/** Processes know of each other by notifications alone. */
const deaf = { roundMs: 3_600_000 }

const isPaused = (store: Store) => (): boolean => store.pausedTasks().has('echo')

test('the other process learns of a pause and a resume, and wakes up', async () => {
  await using schema = await lendSchema()
  await using one = await openPostgres(schema, deaf)
  await using other = await openPostgres(schema, deaf)
  await one.store.setPaused('echo', true)
  await until('the other one knows', isPaused(other.store))
  const run = runOf()
  await one.store.accept(run, start)
  assert.equal((await other.store.claim(requestAt(start))).jobs, [])
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>()
  other.store.notifier?.onWork(wake)
  await one.store.setPaused('echo', false)
  await woken
  assert.is((await claimOne(other.store, start)).runId, run.id)
  await using late = await openPostgres(schema, deaf)
  await other.store.setPaused('echo', true)
  await until('both others know', () => isPaused(one.store)() && isPaused(late.store)())
})

test('a claim takes no job of a paused task without the notification, and the next round makes up for a lost one', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, deaf)
  const { store } = opened
  const run = runOf()
  await store.accept(run, start)
  await schema.query("INSERT INTO paused_task VALUES ('echo')")
  assert.equal((await store.claim(requestAt(start))).jobs, [])
  assert.not(isPaused(store)())
  await schema.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1', [
    `LISTEN "forerunner ${schema.name}"`,
  ])
  await until('it listens again and knows', isPaused(store))
  await schema.query('DELETE FROM paused_task')
  await using looking = await openPostgres(schema, { roundMs: 50 })
  await schema.query("INSERT INTO paused_task VALUES ('echo')")
  await until('the look of each round finds it', isPaused(looking.store))
})

test('no job of a paused task starts in the commit that accepts it, even without the notification', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, deaf)
  const { store } = opened
  // What waits in its queue is known, so that a claim in the same commit looks for nothing.
  await store.claim(requestAt(start))
  const unheard = async (): Promise<void> => {
    await store.setPaused('echo', false)
    await schema.query("INSERT INTO paused_task VALUES ('echo')")
    assert.not(isPaused(store)())
  }
  await unheard()
  const other = jobOf({ task: 'other' })
  const [first, awaited, later] = [
    runOf({ claimsFirst: true, jobs: [jobOf(), other] }),
    runOf(),
    runOf({ respond: 'none', jobs: [jobOf(), other] }),
  ]
  const [refused, alsoRefused, , { jobs }] = await Promise.all([
    rejects(store.accept(first, start), 'task-paused'),
    rejects(store.accept(awaited, start), 'task-paused'),
    store.accept(later, start),
    store.claim(requestAt(start)),
  ])
  assert.ok(refused && alsoRefused)
  assert.equal(
    jobs.map(({ runId, task }) => [runId, task]),
    [[later.id, 'other']],
  )
  assert.is(await store.getRun(first.id), null, 'nothing of it is written')
  assert.is((await jobIn(store, later.id, 0)).state, 'queued')

  // Its caller had been let in before the pause was heard of.
  await store.setPaused('echo', true)
  for (const respond of ['first', 'none'] as const)
    await rejects(store.accept(runOf({ claimsFirst: true, respond }), start), 'task-paused')

  const key = { scope: '', key: 'k', bodyDigest: 'd', isDeferred: false }
  await store.setPaused('echo', false)
  const keyed = runOf({ claimsFirst: true, idempotency: key })
  await store.accept(keyed, start)
  await unheard()
  const again = await store.accept(runOf({ claimsFirst: true, idempotency: key }), start)
  assert.equal(again, { result: 'replayed', runId: keyed.id, isDeferred: false })
})

test.run()
