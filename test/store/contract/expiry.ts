/** Jobs that fail because they have not started in time. */
import * as assert from 'uvu/assert'
import { claimOne, jobIn, jobOf, requestAt, runIn, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const none = { jobs: [], nextDueAt: null }

export function expiryContract(register: Register): void {
  register(
    'expiry: a job that has not started within its time of being due fails, its attempts unspent',
    async ({ store }) => {
      const run = runOf({ jobs: [jobOf({ expiresMs: 100, delayMs: 50 })] })
      await store.accept(run, start)
      assert.is(await store.expire(start + 149), 0)
      assert.is(await store.expire(start + 150), 1)
      const { state, attempt, error, failures, finishedAt } = await jobIn(store, run.id)
      assert.equal([state, attempt, error?.code, failures, finishedAt], ['failed', 0, 'expired', [], start + 150])
      assert.equal((await runIn(store, run.id)).answer, { mode: 'first', jobIndex: 0, status: 500 })
      assert.equal((await store.stats(start)).conservation, { accepted: 1, final: 1, live: 0, lost: 0 })
      assert.is(await store.expire(start + 150), 0)
    },
  )

  register('expiry: no claim takes an expired job, and other jobs of its task overtake it', async ({ store }) => {
    await store.accept(runOf({ jobs: [jobOf({ expiresMs: 10 })] }), start)
    const other = runOf()
    await store.accept(other, start)
    const slots = [{ thread: 'worker-1', kind: 'io', count: 1 }] as const
    assert.is((await claimOne(store, start + 10, { slots })).runId, other.id)
    assert.equal((await store.claim(requestAt(start + 10))).jobs, [])
    await store.expire(start + 10)
    assert.equal(await store.claim(requestAt(start + 10)), none)
  })

  register(
    'expiry: a job that has started does not expire, whatever becomes of its start',
    async ({ store, replace }) => {
      const run = runOf({ jobs: [jobOf({ expiresMs: 10 })] })
      await store.accept(run, start)
      await store.release(await claimOne(store, start + 9), start + 20)
      await store.fail(await claimOne(store, start + 500), taskError, start + 510, start + 500)
      assert.is(await store.expire(start + 900), 0)
      await claimOne(store, start + 900)
      const next = await replace()
      await next.rescue(start + 1_000)
      assert.is(await next.expire(start + 1_000), 0)
      await claimOne(next, start + 1_000)
    },
  )

  register('expiry: a requested retry starts its time again', async ({ store }) => {
    const run = runOf({ jobs: [jobOf({ expiresMs: 10 })] })
    await store.accept(run, start)
    await store.fail(await claimOne(store, start), taskError, null, start)
    await store.retry(run.id, 0, start + 100)
    assert.is(await store.expire(start + 109), 0)
    assert.is(await store.expire(start + 110), 1)
    assert.is((await jobIn(store, run.id)).error?.code, 'expired')
  })

  register('expiry: a blocked job does not expire; its time starts when it is due', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ after: [0], expiresMs: 10, delayMs: 5 })] })
    await store.accept(run, start)
    const first = await claimOne(store, start)
    assert.is(await store.expire(start + 1_000), 0)
    await store.complete(first, '1', start + 1_000)
    assert.is(await store.expire(start + 1_014), 0)
    assert.is(await store.expire(start + 1_015), 1)
  })

  register('expiry: an expired job cancels the jobs that wait for it', async ({ store, replace }) => {
    const run = runOf({ jobs: [jobOf({ expiresMs: 10 }), jobOf({ after: [0] })] })
    await store.accept(run, start)
    const next = await replace()
    await next.expire(start + 10)
    assert.equal(
      (await runIn(next, run.id)).jobs.map(({ state }) => state),
      ['failed', 'cancelled'],
    )
  })
}
