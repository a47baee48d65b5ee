/** Old finished runs are forgotten; a run that is not finished never is. */
import * as assert from 'uvu/assert'
import type { Store } from '../../../src/store/store.ts'
import { acceptAndClaim, entryAt, jobOf, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function pruneContract(register: Register): void {
  register('prune removes the runs that ended longest ago, a limited number at a time', async ({ store }) => {
    // Accepted in one order, and finished in the opposite one.
    const runs = Array.from({ length: 7 }, () => runOf())
    for (const run of runs) await store.accept(run, start)
    const { jobs } = await store.claim(requestAt(start))
    for (const [index, job] of jobs.toReversed().entries()) await store.complete(job, 'null', start + 10 * index)
    const left = runs.map(({ id }) => id)
    for (const limit of [1, 3, 2]) {
      assert.is(await store.prune(start + 1_000, limit, start), limit)
      left.splice(-limit)
      assert.equal((await idsIn(store)).toSorted(), left)
    }
    assert.is(await store.prune(start + 1_000, 5, start), 1)
    assert.is(await store.prune(start + 1_000, 5, start), 0)
    assert.equal(await idsIn(store), [])
  })

  register('prune removes only runs that ended before the limit', async ({ store }) => {
    const ended = [0, 1, 2].map((index) => ({ run: runOf(), at: start + index }))
    for (const { run, at } of ended) await store.complete(await acceptAndClaim(store, run, start), 'null', at)
    assert.is(await store.prune(start, 10, start), 0)
    assert.is(await store.prune(start + 2, 10, start), 2)
    assert.equal(await idsIn(store), [entryAt(ended, 2).run.id])
  })

  register('a run that is not finished is kept, however old', async ({ store }) => {
    const jobs = [
      jobOf({ task: 'done' }),
      jobOf({ task: 'running' }),
      jobOf({ task: 'retrying' }),
      jobOf({ delayMs: 9 }),
    ]
    const runs = jobs.map((job) => runOf({ jobs: [jobOf({ task: 'done' }), job] }))
    for (const run of runs) await store.accept(run, start)
    const claimed = await store.claim(requestAt(start))
    for (const job of claimed.jobs) {
      if (job.task === 'done') await store.complete(job, 'null', start)
      if (job.task === 'retrying') await store.fail(job, taskError, start + 5, start)
    }
    assert.is(await store.prune(start + 1e12, 100, start), 1)
    assert.equal(
      (await idsIn(store)).toSorted(),
      runs.slice(1).map(({ id }) => id),
    )
  })

  register('a forgotten run is gone: it cannot be read, found, claimed or settled', async ({ store }) => {
    const run = runOf({ tags: ['t'] })
    const claim = await acceptAndClaim(store, run, start)
    await store.fail(claim, taskError, null, start)
    await store.prune(start + 1, 10, start)
    assert.is(await store.getRun(run.id), null)
    assert.equal(await store.listRuns({ tag: 't', pageSize: 10 }), { runs: [], hasMore: false })
    assert.equal((await store.claim(requestAt(start + 1))).jobs, [])
    assert.is(await store.complete(claim, 'null', start), 'stale')
  })
}

async function idsIn(store: Store): Promise<string[]> {
  const { runs } = await store.listRuns({ pageSize: 100 })
  return runs.map(({ id }) => id)
}
