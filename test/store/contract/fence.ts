/** A claim that is void writes nothing. */
import * as assert from 'uvu/assert'
import type { Claim } from '../../../src/domain/claim.ts'
import { newRunId } from '../../../src/domain/ids.ts'
import type { Store } from '../../../src/store/store.ts'
import { acceptAndClaim, claimOne, jobOf, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function fenceContract(register: Register): void {
  register('a settled job cannot be settled otherwise, and settling it again changes nothing', async ({ store }) => {
    const completed = await acceptAndClaim(store, runOf(), start)
    await store.complete(completed, '"once"', start)
    await isVoid(store, completed, 'complete')
    const failed = await acceptAndClaim(store, runOf(), start)
    await store.fail(failed, taskError, null, start)
    await isVoid(store, failed, 'fail')
  })

  register('of two ways to settle at once, one wins and the other is stale', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const ways = [
      store.complete(claim, '1', start),
      store.fail(claim, taskError, null, start),
      store.release(claim, start),
    ]
    assert.equal((await Promise.all(ways)).toSorted(), ['settled', 'stale', 'stale'])
  })

  register('a claim is void once its job waits again, and when another claim has followed', async ({ store }) => {
    const released = await acceptAndClaim(store, runOf(), start)
    await store.release(released, start)
    await isVoid(store, released, 'release')
    const failed = await claimOne(store, start)
    await isVoid(store, released)
    await store.fail(failed, taskError, start + 1, start)
    await isVoid(store, failed, 'fail')
    const last = await claimOne(store, start + 1)
    await isVoid(store, released)
    await isVoid(store, failed)
    assert.is(await store.complete(last, '"by the last"', start + 2), 'settled')
  })

  register('claim numbers only grow, whatever happens to the job', async ({ store }) => {
    const numbers: number[] = []
    let claim = await acceptAndClaim(store, runOf({ jobs: [jobOf({ maxAttempts: 9 })] }), start)
    for (let round = 1; round <= 6; round += 1) {
      numbers.push(claim.claim)
      if (round % 2 === 0) await store.release(claim, start + round)
      else await store.fail(claim, taskError, start + round, start + round)
      claim = await claimOne(store, start + round)
    }
    assert.equal(
      numbers,
      numbers.toSorted((a, b) => a - b),
    )
    assert.is(new Set(numbers).size, numbers.length)
  })

  register('a claim that never existed is void', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    for (const number of [claim.claim + 1, claim.claim - 1]) await isVoid(store, { ...claim, claim: number })
    await isVoid(store, { ...claim, jobIndex: 1 })
    assert.is(await store.complete({ ...claim, runId: newRunId() }, '1', start), 'stale')
    assert.is(await store.complete(claim, '1', start), 'settled')
  })
}

/** @param done what was done under the claim: asked for again it is settled, because its first reply may have been lost */
async function isVoid(store: Store, claim: Claim, done?: 'complete' | 'fail' | 'release'): Promise<void> {
  const reply = (verb: string): string => (verb === done ? 'settled' : 'stale')
  const before = await store.getRun(claim.runId)
  const statsBefore = await store.stats(start)
  assert.is(await store.complete(claim, '"late"', start + 50), reply('complete'))
  assert.is(await store.fail(claim, taskError, null, start + 50), reply('fail'))
  assert.is(await store.fail(claim, taskError, start + 60, start + 50), reply('fail'))
  assert.is(await store.release(claim, start + 50), reply('release'))
  assert.equal(await store.getRun(claim.runId), before)
  assert.equal(await store.stats(start), statsBefore)
}
