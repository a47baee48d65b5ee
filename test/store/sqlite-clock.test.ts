/** Due times are instants of a clock that can be set: that makes no wait longer or shorter. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { claimOne, jobIn, jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

const hourMs = 3_600_000
const steps = [-24 * hourMs, -hourMs, hourMs, 24 * hourMs]

test('when the clock is set, waiting jobs keep their waits, and due jobs stay due', async () => {
  for (const step of steps) {
    await using opened = await openSqlite(':memory:')
    const { store } = opened
    const now = start + 1_000
    const due = runOf({ jobs: [jobOf({ task: 'due' })] })
    const delayed = runOf({ jobs: [jobOf({ task: 'delayed', delayMs: 60_000 })] })
    const failing = runOf({ jobs: [jobOf({ task: 'failing' })] })
    await store.accept(failing, start)
    await store.fail(await claimOne(store, start), taskError, start + 30_000, start)
    await store.accept(due, start)
    await store.accept(delayed, start)
    await store.shiftDueTimes(step)
    const { jobs, nextDueAt } = await store.claim(requestAt(now + step))
    assert.equal([jobs.map(({ task }) => task), nextDueAt], [['due'], start + 30_000 + step], `${step}`)
    assert.is((await jobIn(store, delayed.id)).runAt, start + 60_000 + step)
    assert.equal((await store.claim(requestAt(start + 29_999 + step))).jobs, [])
    assert.is((await claimOne(store, start + 30_000 + step)).task, 'failing')
    assert.is((await claimOne(store, start + 60_000 + step)).task, 'delayed')
    assert.is((await store.stats(now + step)).conservation.lost, 0)
  }
})

test('when the clock is set, windows of rates keep their length', async () => {
  const rates = { echo: { limit: 1, perMs: 1_000 } }
  for (const step of steps) {
    await using opened = await openSqlite(':memory:')
    const { store } = opened
    await store.accept(runOf({ jobs: [jobOf(), jobOf()] }), start)
    assert.is((await store.claim(requestAt(start, { rates }))).jobs.length, 1)
    await store.shiftDueTimes(step)
    const { jobs, nextDueAt } = await store.claim(requestAt(start + step + 1, { rates }))
    assert.equal([jobs, nextDueAt], [[], start + step + 1_000], `${step}`)
    assert.is((await claimOne(store, start + step + 1_000, { rates })).jobIndex, 1)
  }
})

test('after a start with the clock set back, no window of a rate is longer than before', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const rates = { echo: { limit: 2, perMs: 1_000 } }
  {
    await using opened = await openSqlite(path)
    await opened.store.accept(runOf({ jobs: [jobOf(), jobOf(), jobOf()] }), start)
    await opened.store.claim(requestAt(start, { rates }))
  }
  await using opened = await openSqlite(path)
  const now = start - hourMs
  await opened.store.rescue(now)
  assert.is((await opened.store.claim(requestAt(now, { rates }))).nextDueAt, now + 1_000)
  assert.is((await opened.store.claim(requestAt(now + 1_000, { rates }))).jobs.length, 2)
})

test('an idempotency key names its run for 24 hours, however the clock is set', async () => {
  const idempotency = { scope: 'me', key: 'k', bodyDigest: 'd', isDeferred: false }
  for (const step of steps) {
    await using opened = await openSqlite(':memory:')
    const { store } = opened
    const run = runOf({ idempotency })
    await store.accept(run, start)
    await store.shiftDueTimes(step)
    const again = start + step
    assert.is((await store.accept(runOf({ idempotency }), again + 24 * hourMs - 1)).result, 'replayed', `${step}`)
    assert.is((await store.accept(runOf({ idempotency }), again + 24 * hourMs)).result, 'accepted', `${step}`)
  }
})

test('after a start with the clock set back, nothing waits longer than it was to wait in total', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const runs = {
    due: runOf({ jobs: [jobOf({ task: 'due' })] }),
    running: runOf({ jobs: [jobOf({ task: 'running' })] }),
    retrying: runOf({ jobs: [jobOf({ task: 'retrying' })] }),
    delayed: runOf({ jobs: [jobOf({ task: 'delayed', delayMs: 600_000 })] }),
  }
  {
    await using opened = await openSqlite(path)
    const { store } = opened
    await store.accept(runs.retrying, start)
    await store.fail(await claimOne(store, start), taskError, start + 30_000, start)
    await store.accept(runs.running, start)
    await claimOne(store, start)
    await store.accept(runs.due, start)
    await store.accept(runs.delayed, start)
  }
  await using reopened = await openSqlite(path)
  const { store } = reopened
  const now = start - 24 * hourMs
  assert.is((await store.rescue(now)).requeued, 1)
  const { jobs, nextDueAt } = await store.claim(requestAt(now))
  assert.equal(jobs.map(({ task }) => task).toSorted(), ['due', 'running'])
  assert.is(nextDueAt, now + 30_000, 'as long as it was to wait')
  assert.is((await claimOne(store, now + 30_000)).task, 'retrying')
  assert.is((await claimOne(store, now + 600_000)).task, 'delayed')
})

test.run()
