/** A job that one more lost start would fail can be claimed alone, so that the blame falls on it and on nobody else. */
import * as assert from 'uvu/assert'
import type { ClaimRequest } from '../../../src/store/claim-requests.ts'
import type { Store } from '../../../src/store/store.ts'
import { claimOne, jobOf, requestAt, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register, StoreUnderTest } from './subject.ts'

export function suspectContract(register: Register): void {
  register('a claim of suspects gets only suspects, one at a time', async (subject) => {
    const store = await withSuspects(subject, 'io', 'io')
    await store.accept(runOf({ jobs: [jobOf({ task: 'innocent', priority: 9 })] }), start)
    const first = await claimSuspect(store)
    assert.is(first?.task, 'suspect')
    assert.equal([first?.lostStarts, first?.attempt], [2, 1])
    const second = await claimSuspect(store)
    assert.is(second?.task, 'suspect')
    assert.is.not(second?.jobIndex, first?.jobIndex)
    assert.is(await claimSuspect(store), undefined)
    assert.is((await claimOne(store, start)).task, 'innocent')
  })

  register('a rescue counts the suspects, those that were waiting before too', async (subject) => {
    const store = await withSuspects(subject, 'io', 'io')
    assert.is((await store.rescue(start)).suspects, 2)
    await claimSuspect(store)
    assert.is((await store.rescue(start)).suspects, 1)
  })

  register('a job that may lose more starts is no suspect yet', async (subject) => {
    await subject.store.accept(runOf({ jobs: [jobOf({ maxAttempts: 4 })] }), start)
    let { store } = subject
    const suspects: number[] = []
    for (let lost = 1; lost <= 3; lost += 1) {
      await claimOne(store, start)
      store = await subject.replace()
      suspects.push((await store.rescue(start)).suspects)
      assert.is(await isSuspectClaimable(store), lost === 3)
    }
    assert.equal(suspects, [0, 0, 1])
  })

  register('a suspect is not claimed before it is due, nor without a slot of its kind', async (subject) => {
    const store = await withSuspects(subject, 'cpu')
    const io = [{ thread: 'worker-2', kind: 'io', count: 1 }] as const
    assert.is(await claimSuspect(store, { slots: io }), undefined)
    assert.is(await claimSuspect(store, { slots: [] }), undefined)
    const full = [{ thread: 'worker-1', kind: 'cpu', count: 0 }] as const
    assert.is(await claimSuspect(store, { slots: full }), undefined)
    const claimed = await claimSuspect(store)
    if (claimed === undefined) throw new Error('no suspect was claimed')
    assert.is(claimed.thread, 'worker-1')
    await store.fail(claimed, taskError, start + 100, start)
    assert.is(await claimSuspect(store, { at: start + 99 }), undefined)
    assert.is((await claimSuspect(store, { at: start + 100 }))?.attempt, 2)
  })

  register('a suspect without a slot does not block one that has one', async (subject) => {
    const store = await withSuspects(subject, 'cpu', 'io')
    const io = [{ thread: 'worker-2', kind: 'io', count: 1 }] as const
    assert.is((await claimSuspect(store, { slots: io }))?.kind, 'io')
  })

  register('a suspect is claimed within the limit of its task', async (subject) => {
    const store = await withSuspects(subject, 'io')
    assert.is(await claimSuspect(store, { taskLimits: { suspect: 0 } }), undefined)
    assert.equal((await store.claim(requestAt(start, { taskLimits: { suspect: 0 } }))).jobs, [])
    assert.is((await claimSuspect(store, { taskLimits: { suspect: 1 } }))?.task, 'suspect')
  })

  register('a suspect that succeeds is an ordinary job like any other', async (subject) => {
    const store = await withSuspects(subject, 'io')
    const claimed = await claimSuspect(store)
    if (claimed === undefined) throw new Error('no suspect was claimed')
    assert.is(await store.complete(claimed, 'null', start), 'settled')
    assert.is((await store.getRun(claimed.runId))?.state, 'completed')
    assert.equal(await store.rescue(start), { requeued: 0, crashed: 0, suspects: 0 })
  })
}

/** A store with one waiting suspect of each kind named, all of one run; the kinds are due in this order. */
async function withSuspects(subject: StoreUnderTest, ...kinds: ('cpu' | 'io')[]): Promise<Store> {
  const jobs = kinds.map((kind, index) =>
    jobOf({ task: 'suspect', kind, maxAttempts: 2, delayMs: index - kinds.length }),
  )
  await subject.store.accept(runOf({ jobs }), start)
  let { store } = subject
  for (let lost = 1; lost <= 2; lost += 1) {
    await store.claim(requestAt(start))
    store = await subject.replace()
    assert.is((await store.rescue(start)).requeued, kinds.length)
  }
  return store
}

async function claimSuspect(store: Store, members: Partial<ClaimRequest> = {}) {
  const { jobs } = await store.claim(requestAt(start, { only: 'suspects', ...members }))
  assert.ok(jobs.length <= 1)
  return jobs[0]
}

/** Looks by claiming, and hands back what it got. */
async function isSuspectClaimable(store: Store): Promise<boolean> {
  const claimed = await claimSuspect(store)
  if (claimed !== undefined) await store.release(claimed, start)
  return claimed !== undefined
}
