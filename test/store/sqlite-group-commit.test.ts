/** The calls of one turn of the event loop are committed together. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { jobOf, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

test('outcomes of one turn share a commit: a run that they change 100 times is reported once', async () => {
  using directory = temporaryDirectory()
  await using opened = await openSqlite(join(directory.path, 'runs.db'))
  const { store } = opened
  const run = runOf({ jobs: Array.from({ length: 100 }, () => jobOf()) })
  await store.accept(run, start)
  const { jobs } = await store.claim(requestAt(start))
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  await Promise.all(jobs.map((job) => store.complete(job, 'null', start)))
  const { version } = await runIn(store, run.id)
  assert.equal(changes, [{ runId: run.id, version, state: 'completed', isAnswered: true, voided: [] }])
})

test('listeners hear of every change of a commit before any call of its group resolves', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const count = 100
  await Promise.all(Array.from({ length: count }, () => store.accept(runOf(), start)))
  const { jobs } = await store.claim(requestAt(start))
  const order: string[] = []
  store.onChange(({ state }) => void order.push(state))
  await Promise.all(jobs.map((job) => store.complete(job, 'null', start).then((settled) => order.push(settled))))
  // Who hears that a claim is void must not take a new one of the same commit for it.
  const expected = [...jobs.map(() => 'completed'), ...jobs.map(() => 'settled')]
  assert.is(jobs.length, count)
  assert.equal(order, expected)
})

test('a run and the claim of its jobs can be one commit', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const [, { jobs }] = await Promise.all([store.accept(runOf(), start), store.claim(requestAt(start))])
  assert.is(jobs.length, 1)
})

test('calls during a commit run after it, in order', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const order: number[] = []
  const asked: Promise<unknown>[] = []
  for (let index = 0; index < 50; index += 1) {
    asked.push(store.accept(runOf({ jobs: [jobOf({ task: `t${index}` })] }), start).then(() => order.push(index)))
    // Lets some of these meet a commit under way, and others the next turn.
    if (index % 5 === 0) await asked[Math.floor(index / 2)]
  }
  await Promise.all(asked)
  assert.equal(
    order,
    order.toSorted((a, b) => a - b),
  )
  const { jobs } = await store.claim(requestAt(start))
  assert.equal(
    jobs.map(({ task }) => task),
    order.map((index) => `t${index}`),
  )
})

test.run()
