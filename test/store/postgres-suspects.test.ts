/** A suspect starts where no other job can die with it, or after a while where few can. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { changeRecords } from '../harness/postgres-records.ts'
import { lendSchema, type Schema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptFirst, claimOne, entryAt, jobOf, requestAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

/** Short rounds, and a wait that is longer than any test. */
const patient = { roundMs: 20, aloneMs: 3_600_000 }
const impatient = { ...patient, aloneMs: 0 }

async function acceptTask(store: Store, task: string): Promise<void> {
  await store.accept(runOf({ jobs: [jobOf({ task })] }), start)
}

/** A waiting job that has lost this number of its three starts. */
async function addLost(schema: Schema, store: Store, task: string, lostStarts: number): Promise<void> {
  await acceptTask(store, task)
  await changeRecords(schema, (run) =>
    run.jobs[0]?.task === task ? { ...run, jobs: run.jobs.map((job) => ({ ...job, lostStarts })) } : run,
  )
}

const claim = async (store: Store) => (await store.claim(requestAt(start))).jobs
const tasksOf = async (store: Store) => (await claim(store)).map(({ task }) => task)

test('a suspect waits for an idle process, and runs alone there', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, patient)
  await using other = await openPostgres(schema, patient)
  const [busy, idle] = [opened.store, other.store]
  await acceptTask(busy, 'running')
  const running = await claimOne(busy, start)
  await addLost(schema, busy, 'suspect', 2)
  await acceptTask(busy, 'innocent')
  assert.equal(await tasksOf(busy), ['innocent'])
  const suspect = await until('it is taken', async () => (await claim(idle))[0])
  assert.equal([suspect.task, suspect.lostStarts, suspect.claim], ['suspect', 2, 1])
  await acceptTask(busy, 'later')
  assert.equal(await tasksOf(idle), [])
  const { promise: woken, resolve: wake } = Promise.withResolvers<void>()
  idle.notifier?.onWork(wake)
  await idle.complete(suspect, '1', start)
  await woken
  assert.equal(await tasksOf(idle), ['later'])
  assert.is(await busy.complete(running, '1', start), 'settled')
})

test('if no process becomes idle, a suspect still starts, but not beside a job that has lost a start', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, impatient)
  const { store } = opened
  // On the main thread, where somebody always waits.
  await acceptFirst(store, runOf({ claimsFirst: true }), start)
  await addLost(schema, store, 'lost', 1)
  const lost = entryAt(await claim(store), 0)
  await addLost(schema, store, 'suspect', 2)
  await addLost(schema, store, 'other suspect', 2)
  await acceptTask(store, 'innocent')
  assert.equal(await tasksOf(store), ['innocent'])
  await store.complete(lost, '1', start)
  const suspect = await until('it is taken beside the innocent', async () => (await claim(store))[0])
  assert.is(suspect.task, 'suspect')
  await addLost(schema, store, 'lost again', 1)
  await acceptTask(store, 'second innocent')
  assert.equal(await tasksOf(store), ['second innocent'])
  await store.complete(suspect, '1', start)
  const next = entryAt(await claim(store), 0)
  assert.is(next.task, 'other suspect')
  assert.equal(await tasksOf(store), [])
  await store.complete(next, '1', start)
  assert.equal(await tasksOf(store), ['lost again'])
})

test.run()
