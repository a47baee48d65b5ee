/** A finished run can be removed, and nothing of it is left. */
import * as assert from 'uvu/assert'
import { newRunId } from '../../../src/domain/ids.ts'
import { acceptAndClaim, acceptFirst, jobOf, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function removeContract(register: Register): void {
  register('a removed run cannot be read, listed or settled, and no total knows it', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf({ tags: ['t', 'u'] }), start)
    await store.fail(claim, taskError, null, start)
    assert.is(await store.remove(claim.runId), 'removed')
    assert.is(await store.getRun(claim.runId), null)
    assert.is(await store.getJob(claim.runId, 0), null)
    for (const filter of [{}, { tag: 't' }, { task: claim.task }, { state: 'failed' }] as const) {
      assert.equal((await store.listRuns({ ...filter, pageSize: 10 })).runs, [])
    }
    assert.is(await store.complete(claim, 'null', start), 'stale')
    const { runs, jobs, conservation } = await store.stats(start)
    assert.equal([runs.failed, jobs.failed], [0, 0])
    assert.equal(conservation, { accepted: 1, final: 1, live: 0, lost: 0 })
    assert.is(await store.remove(claim.runId), 'not-found')
  })

  register('a run that has a job to do is kept', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 9_000 })] })
    const claim = await acceptAndClaim(store, run, start)
    assert.is(await store.remove(run.id), 'active')
    await store.complete(claim, 'null', start)
    assert.is(await store.remove(run.id), 'active')
    await store.cancel(run.id, 1, start)
    assert.is(await store.remove(run.id), 'removed')
  })

  register('a run that ends in the commit that removes it leaves nothing behind', async ({ store }) => {
    const waiting = runOf({ jobs: [jobOf({ task: 'due' }), jobOf({ delayMs: 9_000 })] })
    const held = runOf({ claimsFirst: true, jobs: [jobOf(), jobOf({ delayMs: 9_000 })] })
    const claim = await acceptFirst(store, held, start)
    await store.accept(waiting, start)
    const asked = [
      store.complete(claim, 'null', start),
      ...[waiting, held].flatMap(({ id }) => [store.cancel(id, null, start), store.remove(id)]),
    ]
    assert.equal(await Promise.all(asked), ['settled', 'cancelled', 'removed', 'cancelled', 'removed'])
    assert.equal(await store.claim(requestAt(start)), { jobs: [], nextDueAt: null })
    const { conservation, oldestQueuedMs, unknownTasks } = await store.stats(start + 1)
    assert.equal([oldestQueuedMs, unknownTasks], [null, {}])
    assert.equal(conservation, { accepted: 4, final: 4, live: 0, lost: 0 })
  })

  register('removing an unknown run reports that it does not exist', async ({ store }) => {
    assert.is(await store.remove(newRunId()), 'not-found')
  })
}
