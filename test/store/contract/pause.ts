/** Paused tasks: their jobs are accepted and wait, and hold nothing up. */
import * as assert from 'uvu/assert'
import { acceptFirst, claimOne, jobIn, jobOf, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const echo = { thread: 'worker-1', kind: 'io', count: 1 } as const

export function pauseContract(register: Register): void {
  register('pause: jobs of a paused task wait, however due, and others pass them', async ({ store }) => {
    const before = runOf({ jobs: [jobOf({ priority: 9 }), jobOf({ kind: 'cpu' })] })
    await store.accept(before, start)
    assert.equal([...store.pausedTasks()], [])
    await store.setPaused('echo', true)
    assert.equal([...store.pausedTasks()], ['echo'])
    const later = runOf({ jobs: [jobOf({ delayMs: 10 }), jobOf({ task: 'other' })] })
    await store.accept(later, start)
    const { runId, jobIndex } = await claimOne(store, start + 5, { slots: [echo] })
    assert.equal([runId, jobIndex], [later.id, 1])
    assert.equal(await store.claim(requestAt(start + 5)), { jobs: [], nextDueAt: null })
    assert.equal((await store.claim(requestAt(start + 60_000, { only: 'suspects' }))).jobs, [])
    assert.is((await store.stats(start)).conservation.live, 4)

    await store.setPaused('echo', false)
    assert.equal([...store.pausedTasks()], [])
    const { jobs, nextDueAt } = await store.claim(requestAt(start + 5))
    assert.equal(
      jobs.map((job) => [job.runId, job.jobIndex]),
      [
        [before.id, 1],
        [before.id, 0],
      ],
    )
    assert.is(nextDueAt, start + 10)
  })

  register('pause: no job of a paused task is claimed in the commit that accepts it', async ({ store }) => {
    await store.setPaused('echo', true)
    await store.claim(requestAt(start))
    const [, { jobs }] = await Promise.all([
      store.accept(runOf({ jobs: [jobOf(), jobOf({ task: 'other' })] }), start),
      store.claim(requestAt(start)),
    ])
    assert.equal(
      jobs.map(({ task }) => task),
      ['other'],
    )
  })

  register('pause: jobs claimed before the pause are not affected', async ({ store }) => {
    const run = runOf()
    await store.accept(run, start)
    await store.setPaused('echo', true)
    await store.setPaused('echo', false)
    assert.is((await claimOne(store, start)).runId, run.id)
  })

  register('pause: a running job continues, and its next attempt waits', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf()], claimsFirst: true })
    const first = await acceptFirst(store, run, start)
    const second = await claimOne(store, start)
    await store.setPaused('echo', true)
    assert.is(await store.complete(first, '1', start + 1), 'settled')
    assert.is(await store.fail(second, taskError, start + 2, start + 1), 'settled')
    assert.equal(await store.claim(requestAt(start + 9)), { jobs: [], nextDueAt: null })
    assert.is((await jobIn(store, run.id, 1)).state, 'retrying')
    await store.setPaused('echo', false)
    assert.is((await claimOne(store, start + 9)).attempt, 2)
  })

  register('pause: it can be repeated, and survives a restart', async (subject) => {
    let { store } = subject
    const run = runOf()
    await store.accept(run, start)
    for (const isPaused of [false, true, true]) await store.setPaused('echo', isPaused)
    store = await subject.replace()
    await store.rescue(start)
    assert.equal([...store.pausedTasks()], ['echo'])
    assert.equal((await store.claim(requestAt(start))).jobs, [])
    for (const isPaused of [false, false]) await store.setPaused('echo', isPaused)
    store = await subject.replace()
    assert.equal([...store.pausedTasks()], [])
    assert.is((await claimOne(store, start)).runId, run.id)
  })

  register('pause: a waiting job can expire, be cancelled, and be retried', async ({ store }) => {
    await store.setPaused('echo', true)
    const [expires, cancelled] = [runOf({ jobs: [jobOf({ expiresMs: 10 })] }), runOf()]
    await store.accept(expires, start)
    await store.accept(cancelled, start)
    assert.is(await store.expire(start + 10), 1)
    assert.is(await store.cancel(cancelled.id, null, start + 10), 'cancelled')
    assert.is(await store.retry(cancelled.id, 0, start + 11), 'queued')
    assert.equal((await store.claim(requestAt(start + 20))).jobs, [])
    await store.setPaused('echo', false)
    assert.is((await claimOne(store, start + 20)).runId, cancelled.id)
  })

  register('a key can be looked up without a run', async ({ store }) => {
    const key = { scope: 'caller', key: 'k', bodyDigest: 'd', isDeferred: false }
    assert.is(await store.findKey(key, start), null)
    const run = runOf({ idempotency: key })
    await store.accept(run, start)
    assert.equal(await store.findKey(key, start), { result: 'replayed', runId: run.id, isDeferred: false })
    assert.equal(await store.findKey({ ...key, bodyDigest: 'e' }, start), { result: 'reused', runId: run.id })
    assert.is(await store.findKey({ ...key, scope: '' }, start), null)
    assert.is(await store.findKey(key, start + 86_400_000), null)
  })
}
