/** Jobs that wait for the results of others. */
import * as assert from 'uvu/assert'
import type { Claim } from '../../../src/domain/claim.ts'
import type { NewJob } from '../../../src/domain/run/new-run.ts'
import type { Store } from '../../../src/store/store.ts'
import { acceptFirst, claimOne, jobOf, requestAt, runIn, runOf, start, taskError } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

/** Job 0 is claimed; each of the others waits for the jobs named. */
async function acceptChain(store: Store, after: readonly (readonly number[])[], members: Partial<NewJob> = {}) {
  const jobs = [jobOf(), ...after.map((others) => jobOf({ ...members, after: others }))]
  const run = runOf({ jobs, claimsFirst: true })
  return { id: run.id, first: await acceptFirst(store, run, start) }
}

async function statesIn(store: Store, id: string): Promise<string[]> {
  return (await runIn(store, id)).jobs.map(({ state }) => state)
}

async function errorsIn(store: Store, id: string): Promise<(string | undefined)[]> {
  return (await runIn(store, id)).jobs.map(({ error }) => error?.message)
}

async function failAt(store: Store, claim: Claim, at: number): Promise<void> {
  await store.fail(claim, taskError, null, at)
}

export function afterContract(register: Register): void {
  register('after: a job is blocked until all jobs that it waits for are completed, then queued', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[], [0, 1]])
    const second = await claimOne(store, start)
    assert.equal((await runIn(store, id)).jobs[2]?.waitsFor, [0, 1])
    await store.complete(second, '"second"', start + 1)
    const [, , waiting] = (await runIn(store, id)).jobs
    assert.equal([waiting?.state, waiting?.waitsFor, waiting?.runAt], ['blocked', [0], null])
    assert.equal(await store.claim(requestAt(start + 1)), { jobs: [], nextDueAt: null }, 'the queue has nothing of it')
    await store.complete(first, '"first"', start + 2)
    const [, , due] = (await runIn(store, id)).jobs
    assert.equal([due?.state, due?.waitsFor, due?.queuedAt, due?.runAt], ['queued', undefined, start + 2, start + 2])
  })

  register('after: the claim has the results, in the order named, however large they are', async ({ store }) => {
    const { first } = await acceptChain(store, [[], [], [2, 0, 1]])
    const results = ['1', JSON.stringify('x'.repeat(100_000)), 'null']
    const { jobs } = await store.claim(requestAt(start))
    for (const [place, claim] of [first, ...jobs].entries()) await store.complete(claim, results[place] ?? '', start)
    const claimed = await claimOne(store, start)
    assert.equal(claimed.after, [results[2], results[0], results[1]])
    await store.fail(claimed, taskError, start + 1, start)
    assert.equal((await claimOne(store, start + 1)).after, claimed.after, 'a later attempt has them too')
  })

  register('after: a job without it is claimed without results', async ({ store }) => {
    assert.is(Object.hasOwn((await acceptChain(store, [])).first, 'after'), false)
  })

  register('after: the delay counts from the completion', async ({ store }) => {
    const { first } = await acceptChain(store, [[0]], { delayMs: 500 })
    await store.complete(first, '1', start + 1_000)
    assert.equal(await store.claim(requestAt(start + 1_499)), { jobs: [], nextDueAt: start + 1_500 })
    await claimOne(store, start + 1_500)
  })

  register(
    'after: the failure of a job cancels those that wait for it, and those that wait for these',
    async ({ store }) => {
      const { id, first } = await acceptChain(store, [[0], [1], []])
      await failAt(store, first, start + 1)
      assert.equal(await statesIn(store, id), ['failed', 'cancelled', 'cancelled', 'queued'])
      assert.equal((await errorsIn(store, id)).slice(1), ['job 0 failed', 'job 1 was cancelled', undefined])
      assert.is((await runIn(store, id)).jobs[1]?.error?.code, 'cancelled')
    },
  )

  register('after: an attempt that is to be retried cancels nothing', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0]])
    await store.fail(first, taskError, start + 1, start)
    assert.equal(await statesIn(store, id), ['retrying', 'blocked'])
  })

  register('after: cancelling a job cancels the jobs that wait for it', async ({ store }) => {
    const { id } = await acceptChain(store, [[0]])
    assert.is(await store.cancel(id, 0, start), 'cancelled')
    assert.equal(await errorsIn(store, id), ['cancelled on request', 'job 0 was cancelled'])
    assert.is((await runIn(store, id)).state, 'cancelled')
  })

  register('after: a blocked job can be cancelled alone, and is not queued later', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0], [0]])
    assert.is(await store.cancel(id, 1, start), 'cancelled')
    await store.complete(first, '1', start)
    assert.equal(await statesIn(store, id), ['completed', 'cancelled', 'queued'])
  })

  register('after: retrying the failed job blocks its dependents again and lets them run', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0], [1]])
    await failAt(store, first, start)
    assert.is(await store.retry(id, 0, start + 1), 'queued')
    assert.equal(await statesIn(store, id), ['queued', 'blocked', 'blocked'])
    assert.equal(await errorsIn(store, id), [undefined, undefined, undefined])
    for (const result of ['1', '2']) await store.complete(await claimOne(store, start + 1), result, start + 1)
    assert.equal((await claimOne(store, start + 1)).after, ['2'])
  })

  register('after: a retry leaves jobs cancelled that were cancelled on request', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0], [0]])
    await store.cancel(id, 1, start)
    await failAt(store, first, start)
    await store.retry(id, 0, start)
    assert.equal(await statesIn(store, id), ['queued', 'cancelled', 'blocked'])
    assert.is(await store.retry(id, 1, start), 'queued')
    assert.equal(await statesIn(store, id), ['queued', 'blocked', 'blocked'])
  })

  register(
    'after: of two that failed, the retry of one leaves what needs both cancelled by the other',
    async ({ store }) => {
      const { id, first } = await acceptChain(store, [[], [0, 1]])
      await failAt(store, first, start)
      await failAt(store, await claimOne(store, start), start)
      await store.retry(id, 0, start)
      assert.equal(await statesIn(store, id), ['queued', 'failed', 'cancelled'])
      assert.is((await errorsIn(store, id))[2], 'job 1 failed')
      await store.retry(id, 1, start)
      assert.equal(await statesIn(store, id), ['queued', 'queued', 'blocked'])
    },
  )

  register('after: a job cannot be retried before the failed one that it waits for', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0]])
    await failAt(store, first, start)
    assert.is(await store.retry(id, 1, start), 'cannot-start')
    assert.equal(await statesIn(store, id), ['failed', 'cancelled'])
  })

  register('after: a blocked job is part of the backlog and of every count', async ({ store }) => {
    const { id, first } = await acceptChain(store, [[0], [1]])
    const { jobs, conservation } = await store.stats(start)
    assert.is(jobs.blocked, 2)
    assert.equal(conservation, { accepted: 3, final: 0, live: 3, lost: 0 })
    assert.is(store.backlog(), 3)
    await failAt(store, first, start)
    assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 3, live: 0, lost: 0 })
    await store.remove(id)
    assert.is((await store.stats(start)).jobs.blocked, 0)
  })

  register(
    'after: with `race` a job that is cancelled so counts as settled, with `any` and `all` too',
    async ({ store }) => {
      for (const [respond, jobIndex] of [
        ['race', 0],
        ['any', null],
        ['all', null],
      ] as const) {
        const run = runOf({ respond, jobs: [jobOf(), jobOf({ after: [0] })], claimsFirst: true })
        await failAt(store, await acceptFirst(store, run, start), start)
        assert.equal((await runIn(store, run.id)).answer, { mode: respond, jobIndex, status: 500 })
      }
    },
  )

  register(
    'after: a job that became due in the last commit of a process is found by the next',
    async ({ store, replace }) => {
      const { id, first } = await acceptChain(store, [[0], [1]])
      await store.complete(first, JSON.stringify('y'.repeat(5_000)), start)
      const next = await replace()
      await next.rescue(start)
      const { conservation } = await next.stats(start)
      assert.equal(conservation, { accepted: 3, final: 1, live: 2, lost: 0 })
      const claimed = await claimOne(next, start)
      assert.equal([claimed.runId, claimed.jobIndex, claimed.after?.[0]?.length], [id, 1, 5_002])
    },
  )

  register(
    'after: the loss of its last start fails a job, and cancels those that wait for it',
    async ({ store, replace }) => {
      const { id } = await acceptChain(store, [[0]])
      let owner = store
      for (let losses = 0; losses < 3; losses += 1) {
        owner = await replace()
        await owner.rescue(start)
        if (losses < 2) await owner.claim(requestAt(start, { only: losses === 1 ? 'suspects' : 'all' }))
      }
      assert.equal(await statesIn(owner, id), ['failed', 'cancelled'])
    },
  )
}
