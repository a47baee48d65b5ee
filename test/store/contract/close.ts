/** How a store ends. */
import * as assert from 'uvu/assert'
import type { Store } from '../../../src/store/store.ts'
import { rejects } from '../../harness/rejects.ts'
import { acceptAndClaim, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function closeContract(register: Register): void {
  register('after close every verb rejects', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await store.close()
    const calls: Record<string, (closed: Store) => Promise<unknown>> = {
      accept: (closed) => closed.accept(runOf(), start),
      claim: (closed) => closed.claim(requestAt(start)),
      complete: (closed) => closed.complete(claim, 'null', start),
      fail: (closed) => closed.fail(claim, taskError, null, start),
      release: (closed) => closed.release(claim, start),
      cancel: (closed) => closed.cancel(claim.runId, null, start),
      defer: (closed) => closed.defer(claim.runId),
      retry: (closed) => closed.retry(claim.runId, 0, start),
      remove: (closed) => closed.remove(claim.runId),
      leave: (closed) => closed.leave(start),
      rescue: (closed) => closed.rescue(start),
      prune: (closed) => closed.prune(start, 1, start),
      getRun: (closed) => closed.getRun(claim.runId),
      getJob: (closed) => closed.getJob(claim.runId, 0),
      listRuns: (closed) => closed.listRuns({ pageSize: 1 }),
      stats: (closed) => closed.stats(start),
    }
    for (const call of Object.values(calls)) await rejects(call(store), 'store-unavailable')
  })

  register('close waits for earlier operations, and accepts no more', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const asked = [
      store.complete(claim, 'null', start),
      store.accept(runOf(), start),
      store.getRun(claim.runId),
    ] as const
    const closing = store.close()
    await rejects(store.accept(runOf(), start), 'store-unavailable')
    const [settled, accepted, read] = await Promise.all(asked)
    assert.equal([settled, accepted, read?.state], ['settled', { result: 'accepted', first: null }, 'completed'])
    await closing
  })

  register('closing twice, at once or later, is one close', async ({ store }) => {
    const accepting = store.accept(runOf(), start)
    await Promise.all([store.close(), store.close()])
    await accepting
    await store.close()
    await rejects(store.stats(start), 'store-unavailable')
  })
}
