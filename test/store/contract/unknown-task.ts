/** Jobs of tasks that a process does not have: they wait for a process that has them, and hold nothing up. */
import * as assert from 'uvu/assert'
import { claimOne, jobIn, jobOf, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function unknownTaskContract(register: Register): void {
  register('a job of an unknown task waits until its task is known, and lets others pass', async (subject) => {
    let { store } = subject
    const gone = runOf({ jobs: [jobOf({ task: 'gone', priority: 9 }), jobOf({ task: 'gone' })] })
    await store.accept(gone, start)
    const both = runOf({ jobs: [jobOf({ task: 'here' }), jobOf({ task: 'gone', kind: 'cpu' })] })
    await store.accept(both, start)
    store = await subject.replace(['here', 'other'])
    assert.equal((await store.stats(start + 5)).unknownTasks, { gone: 3 })
    const { runId, jobIndex, task } = await claimOne(store, start)
    assert.equal([runId, jobIndex, task], [both.id, 0, 'here'])
    assert.is((await store.stats(start + 5)).oldestQueuedMs, 5)
    assert.equal((await store.claim(requestAt(start + 60_000))).jobs, [])
    assert.is((await jobIn(store, gone.id)).state, 'queued')

    store = await subject.replace(['gone'])
    assert.equal((await store.stats(start)).unknownTasks, {})
    const { jobs } = await store.claim(requestAt(start))
    assert.equal(
      jobs.map((job) => [job.runId, job.jobIndex, job.kind]),
      [
        [both.id, 1, 'cpu'],
        [gone.id, 0, 'io'],
        [gone.id, 1, 'io'],
      ],
    )
  })

  register('unknown tasks are counted by any name', async (subject) => {
    await subject.store.accept(runOf({ jobs: [jobOf({ task: 'constructor' })] }), start)
    const { unknownTasks } = await (await subject.replace(['here'])).stats(start)
    assert.is(JSON.stringify(unknownTasks), '{"constructor":1}')
  })

  register('a waiting job of an unknown task can be cancelled, and waits again when it is retried', async (subject) => {
    let { store } = subject
    const run = runOf({ jobs: [jobOf({ task: 'gone' })] })
    await store.accept(run, start)
    const failed = runOf({ jobs: [jobOf({ task: 'gone' })] })
    await store.accept(failed, start + 1)
    const claim = await claimOne(store, start + 1, { slots: [{ thread: 'worker-1', kind: 'io', count: 1 }] })
    await store.fail(claim, taskError, null, start + 2)
    assert.is(claim.runId, run.id)

    store = await subject.replace(['here'])
    assert.is(await store.cancel(failed.id, null, start + 3), 'cancelled')
    assert.equal((await store.stats(start + 3)).unknownTasks, {})
    assert.is(await store.retry(run.id, 0, start + 4), 'queued')
    assert.is(await store.retry(failed.id, 0, start + 4), 'queued')
    assert.equal((await store.claim(requestAt(start + 9))).jobs, [])
    assert.equal((await store.stats(start + 9)).unknownTasks, { gone: 2 })
    assert.is(await store.cancel(failed.id, 0, start + 9), 'cancelled')

    store = await subject.replace(['here', 'gone'])
    assert.is((await claimOne(store, start + 9)).runId, run.id)
    assert.is(await store.retry(failed.id, 0, start + 10), 'queued')
    assert.is((await claimOne(store, start + 10)).runId, failed.id)
  })

  register(
    'what a dead process ran of an unknown task is taken back and waits, though it is a suspect',
    async (subject) => {
      let { store } = subject
      const run = runOf({ jobs: [jobOf({ task: 'gone', maxAttempts: 3 })] })
      await store.accept(run, start)
      for (const at of [start + 1, start + 2]) {
        await store.claim(requestAt(at, { only: at === start + 1 ? 'all' : 'suspects' }))
        store = await subject.replace(at === start + 1 ? ['gone'] : ['here'])
        await store.rescue(at)
        if (at === start + 1) await store.claim(requestAt(at))
      }
      const other = runOf({ jobs: [jobOf({ task: 'here' })] })
      await store.accept(other, start + 3)
      assert.equal((await store.claim(requestAt(start + 3, { only: 'suspects' }))).jobs, [])
      assert.is((await claimOne(store, start + 3)).runId, other.id)
      assert.equal((await store.stats(start + 3)).unknownTasks, { gone: 1 })
    },
  )

  register('a job of an unknown task is not claimed in the commit that accepts it', async (subject) => {
    const store = await subject.replace(['here'])
    await store.claim(requestAt(start))
    const [, { jobs }] = await Promise.all([
      store.accept(runOf({ jobs: [jobOf({ task: 'gone' }), jobOf({ task: 'here' })] }), start),
      store.claim(requestAt(start)),
    ])
    assert.equal(
      jobs.map(({ task }) => task),
      ['here'],
    )
  })
}
