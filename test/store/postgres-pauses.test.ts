/** Paused tasks as several processes have them: each hears of the others, and no claim relies on that. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { claimOne, requestAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

/** What is known comes by notifications alone. */
const deaf = { roundMs: 3_600_000 }

const isPaused = (store: Store) => (): boolean => store.pausedTasks().has('echo')

test('what one process pauses and resumes the other one hears of, and is woken for', async () => {
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

test('a claim takes no job of a task that was paused unheard, and a lost notification is made up for', async () => {
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

test.run()
