/** A caller's key names one run: claimed with it, and over with it or after a day. */
import * as assert from 'uvu/assert'
import type { IdempotencyClaim } from '../../../src/domain/run/new-run.ts'
import type { Store } from '../../../src/store/store.ts'
import { acceptAndClaim, runIn, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const dayMs = 86_400_000

function keyOf(members: Partial<IdempotencyClaim> = {}): IdempotencyClaim {
  return { scope: '', key: 'k', bodyDigest: 'd', isDeferred: false, ...members }
}

export function idempotencyContract(register: Register): void {
  register('the first request with a key makes its run; a repeated one gets that run', async ({ store }) => {
    const run = runOf({ idempotency: keyOf() })
    assert.is((await store.accept(run, start)).result, 'accepted')
    const again = runOf({ idempotency: keyOf() })
    const replayed = { result: 'replayed', runId: run.id, isDeferred: false }
    assert.equal(await store.accept(again, start + 1), replayed)
    assert.is(await store.getRun(again.id), null)
    assert.is(store.backlog(), 1)
    assert.is((await store.stats(start)).conservation.accepted, 1)
  })

  register('of requests that race with one key, one makes a run', async ({ store }) => {
    const runs = Array.from({ length: 50 }, () => runOf({ idempotency: keyOf() }))
    const reports = await Promise.all(runs.map((run) => store.accept(run, start)))
    assert.is(reports.filter(({ result }) => result === 'accepted').length, 1)
    const { runs: made } = await store.listRuns({ pageSize: 100 })
    assert.is(made.length, 1)
    const named = reports.flatMap((report) => (report.result === 'replayed' ? [report.runId] : []))
    assert.equal(new Set(named), new Set([made[0]?.id]))
    assert.is(named.length, runs.length - 1)
  })

  register('a key with another body is refused, and names the run that has it', async ({ store }) => {
    const run = runOf({ idempotency: keyOf() })
    await store.accept(run, start)
    const other = runOf({ idempotency: keyOf({ bodyDigest: 'other' }) })
    assert.equal(await store.accept(other, start), { result: 'reused', runId: run.id })
  })

  register('the same key of another caller is another key', async ({ store }) => {
    for (const scope of ['', 'a', 'b']) {
      const report = await store.accept(runOf({ idempotency: keyOf({ scope }) }), start)
      assert.is(report.result, 'accepted', scope)
    }
  })

  register(
    'whether the first reply goes out before the answer is told, from the start or noted later',
    async (subject) => {
      const { store } = subject
      await store.accept(runOf({ idempotency: keyOf({ key: 'early', isDeferred: true }) }), start)
      const later = runOf({ idempotency: keyOf({ key: 'later' }) })
      await store.accept(later, start)
      assert.equal(await deferredOf(store, ['early', 'later']), [true, false])
      await store.defer(later.id)
      assert.equal(await deferredOf(store, ['early', 'later']), [true, true])
      const { version } = await runIn(store, later.id)
      assert.is(version, 1, 'the run itself is as it was')
    },
  )

  register('a key is kept for a day', async ({ store }) => {
    await store.accept(runOf({ idempotency: keyOf() }), start)
    const late = await store.accept(runOf({ idempotency: keyOf() }), start + dayMs - 1)
    assert.is(late.result, 'replayed')
    const over = runOf({ idempotency: keyOf() })
    assert.is((await store.accept(over, start + dayMs)).result, 'accepted')
    const next = await store.accept(runOf({ idempotency: keyOf() }), start + dayMs + 1)
    assert.equal(next, { result: 'replayed', runId: over.id, isDeferred: false })
  })

  register('prune forgets keys that are over, and counts them', async ({ store }) => {
    for (const key of ['a', 'b', 'c']) await store.accept(runOf({ idempotency: keyOf({ key }) }), start)
    assert.is(await store.prune(0, 10, start + dayMs - 1), 0)
    assert.is(await store.prune(0, 2, start + dayMs), 2)
    assert.is(await store.prune(0, 2, start + dayMs), 1)
    assert.is(await store.prune(0, 2, start + dayMs), 0)
  })

  register('a key is over with its run, whether that is pruned or removed', async ({ store }) => {
    const ends = [(id: string) => store.remove(id), () => store.prune(start + 10, 10, start)]
    for (const end of ends) {
      const claim = await acceptAndClaim(store, runOf({ idempotency: keyOf() }), start)
      await store.complete(claim, 'null', start + 1)
      await end(claim.runId)
      const again = await store.accept(runOf({ idempotency: keyOf() }), start)
      assert.is(again.result, 'accepted')
      if (again.result === 'accepted') await store.cancel((await newest(store)) ?? '', null, start)
      await store.remove((await newest(store)) ?? '')
    }
  })

  register('a refused run claims no key', async ({ store }) => {
    const taken = runOf()
    await store.accept(taken, start)
    const refused = await store.accept(runOf({ id: taken.id, idempotency: keyOf() }), start).catch(() => null)
    assert.is(refused, null)
    assert.is((await store.accept(runOf({ idempotency: keyOf() }), start)).result, 'accepted')
  })
}

async function deferredOf(store: Store, keys: readonly string[]): Promise<unknown[]> {
  const reports = await Promise.all(
    keys.map((key) => store.accept(runOf({ idempotency: keyOf({ key, isDeferred: false }) }), start + 1)),
  )
  return reports.map((report) => report.result === 'replayed' && report.isDeferred)
}

async function newest(store: Store): Promise<string | undefined> {
  return (await store.listRuns({ pageSize: 1 })).runs[0]?.id
}
