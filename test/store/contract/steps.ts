/** Steps are stored under the claim of their job, stay through every later attempt, and are gone with the run. */
import * as assert from 'uvu/assert'
import { type Claim, maxSteps, stepsPerPage, type Step } from '../../../src/domain/claim.ts'
import { newRunId } from '../../../src/domain/ids.ts'
import type { Store } from '../../../src/store/store.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  entryAt,
  jobIn,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

/** Values of all stored steps by name, in their order. */
async function valuesOf(store: Store, claim: Claim): Promise<[string, string][]> {
  const found: Step[] = []
  for (let from: number | null = 0; from !== null;) {
    const page = await store.stepsOf(claim, from)
    if (page === null) throw new Error('the claim is void')
    found.push(...page.steps)
    from = page.next
  }
  return found.map(({ name, value }) => [name, value])
}

async function keepAll(store: Store, claim: Claim, names: readonly string[], at = start): Promise<void> {
  const kept = await Promise.all(names.map((name) => store.keepStep(claim, { name, value: `"${name}"` }, at)))
  assert.equal(new Set(kept), new Set(['kept']))
}

async function namesIn(store: Store, id: string, index = 0): Promise<string[] | undefined> {
  return (await jobIn(store, id, index)).steps?.map(({ name }) => name)
}

export function stepsContract(register: Register): void {
  register('steps: each has its name, its value and its instant, in their order', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf({ jobs: [jobOf(), jobOf({ delayMs: 9 })] }), start)
    assert.is(await store.keepStep(claim, { name: 'b', value: '{"n":1}' }, start + 1), 'kept')
    assert.is(await store.keepStep(claim, { name: 'a é 😀', value: 'null' }, start + 2), 'kept')
    const steps = [
      { name: 'b', finishedAt: start + 1 },
      { name: 'a é 😀', finishedAt: start + 2 },
    ]
    assert.equal((await jobIn(store, claim.runId)).steps, steps)
    assert.equal((await store.getJob(claim.runId, 0))?.steps, steps)
    assert.is(Object.hasOwn(await jobIn(store, claim.runId, 1), 'steps'), false, 'a job without steps has none')
    assert.equal(await valuesOf(store, claim), [
      ['b', '{"n":1}'],
      ['a é 😀', 'null'],
    ])
  })

  register('steps: each is a change of its run, and lists leave them out', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const { version } = await runIn(store, claim.runId)
    const heard: number[] = []
    store.onChange((change) => void heard.push(change.version))
    await store.keepStep(claim, { name: 'a', value: '1' }, start)
    assert.is((await runIn(store, claim.runId)).version, version + 1)
    assert.equal(heard, [version + 1])
    const [listed] = entryAt((await store.listRuns({ pageSize: 1 })).runs, 0).jobs
    assert.is(Object.hasOwn(Object(listed), 'steps'), false)
  })

  register('steps: a claim contains the number of stored steps, if there are any', async ({ store }) => {
    const first = await acceptFirst(store, runOf({ claimsFirst: true }), start)
    assert.is(Object.hasOwn(first, 'steps'), false)
    await store.release(first, start)
    const second = await claimOne(store, start)
    assert.is(Object.hasOwn(second, 'steps'), false)
    await keepAll(store, second, ['a', 'b'])
    await store.fail(second, taskError, start + 1, start)
    const third = await claimOne(store, start + 1)
    assert.is(third.steps, 2)
  })

  register('steps: they are there after a retry, a release and a takeover', async ({ store, replace }) => {
    let claim = await acceptAndClaim(store, runOf({ jobs: [jobOf({ maxAttempts: 9 })] }), start)
    await keepAll(store, claim, ['before a retry'])
    await store.fail(claim, taskError, start + 1, start)
    claim = await claimOne(store, start + 1)
    await keepAll(store, claim, ['before a release'])
    await store.release(claim, start + 2)
    claim = await claimOne(store, start + 2)
    await keepAll(store, claim, ['before a crash'])
    const next = await replace()
    await next.rescue(start + 3)
    claim = await claimOne(next, start + 3)
    assert.is(claim.steps, 3)
    assert.equal(
      (await valuesOf(next, claim)).map(([name]) => name),
      ['before a retry', 'before a release', 'before a crash'],
    )
    await next.complete(claim, '"done"', start + 4)
    assert.is((await namesIn(next, claim.runId))?.length, 3, 'a finished job shows them')
  })

  register('steps: a void claim stores none and reads none', async ({ store }) => {
    const released = await acceptAndClaim(store, runOf(), start)
    await keepAll(store, released, ['a'])
    await store.release(released, start)
    const owner = await claimOne(store, start)
    const before = await runIn(store, owner.runId)
    const never = { ...owner, claim: owner.claim + 1 }
    for (const claim of [released, never, { ...owner, jobIndex: 1 }, { ...owner, runId: newRunId() }]) {
      assert.is(await store.keepStep(claim, { name: 'late', value: '1' }, start), 'stale')
      assert.is(await store.stepsOf(claim, 0), null)
    }
    assert.equal(await runIn(store, owner.runId), before)
    await store.cancel(owner.runId, null, start)
    assert.is(await store.keepStep(owner, { name: 'late', value: '1' }, start), 'stale')
    assert.is(await store.stepsOf(owner, 0), null)
    assert.equal(await namesIn(store, owner.runId), ['a'])
  })

  register('steps: of a concurrent step and outcome, the later one sees the earlier', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const asked = [store.keepStep(claim, { name: 'a', value: '1' }, start), store.complete(claim, '1', start)] as const
    assert.equal(await Promise.all(asked), ['kept', 'settled'])
    assert.equal(await namesIn(store, claim.runId), ['a'])
  })

  register('steps: a requested retry of the finished job starts without them', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await keepAll(store, claim, ['a', 'b'])
    await store.fail(claim, taskError, null, start)
    await store.retry(claim.runId, 0, start)
    assert.is(await namesIn(store, claim.runId), undefined)
    const again = await claimOne(store, start)
    assert.is(Object.hasOwn(again, 'steps'), false)
    assert.equal(await store.stepsOf(again, 0), { steps: [], next: null })
    await keepAll(store, again, ['b'])
    assert.equal(await valuesOf(store, again), [['b', '"b"']])
  })

  register('steps: one in the commit of a cancel and a retry leaves nothing behind', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await Promise.all([
      store.keepStep(claim, { name: 'a', value: '1' }, start),
      store.cancel(claim.runId, null, start),
      store.retry(claim.runId, 0, start),
    ])
    const again = await claimOne(store, start)
    await keepAll(store, again, ['a'])
    assert.equal(await valuesOf(store, again), [['a', '"a"']])
  })

  register('steps: other jobs of the run keep theirs when one is retried', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf()] })
    await store.accept(run, start)
    const [one, other] = (await store.claim(requestAt(start))).jobs
    if (one === undefined || other === undefined) throw new Error('both are due')
    await keepAll(store, one, ['a'])
    await keepAll(store, other, ['a', 'b'])
    await store.fail(one, taskError, null, start)
    await store.retry(run.id, one.jobIndex, start)
    assert.is(await namesIn(store, run.id, one.jobIndex), undefined)
    assert.equal(await valuesOf(store, other), [
      ['a', '"a"'],
      ['b', '"b"'],
    ])
  })

  register(
    'steps: they are removed with their run, also where the store is opened again',
    async ({ store, replace }) => {
      for (const way of ['remove', 'prune'] as const) {
        const claim = await acceptAndClaim(store, runOf(), start)
        await keepAll(store, claim, ['a'])
        await store.complete(claim, '1', start)
        if (way === 'remove') await store.remove(claim.runId)
        else await store.prune(start + 1, 10, start)
        assert.is(await store.getRun(claim.runId), null)
      }
      const next = await replace()
      const again = await acceptAndClaim(next, runOf(), start)
      await keepAll(next, again, ['a'])
      assert.equal(await valuesOf(next, again), [['a', '"a"']])
    },
  )

  register('steps: a job has 1,000 of them, and no more', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    const names = Array.from({ length: maxSteps }, (_, index) => `step ${index}`)
    for (let from = 0; from < maxSteps; from += 200) await keepAll(store, claim, names.slice(from, from + 200))
    assert.is(await store.keepStep(claim, { name: 'one more', value: '1' }, start), 'full')
    assert.equal(await namesIn(store, claim.runId), names, 'a run shows all of one job')
    assert.is((await store.stepsOf(claim, 0))?.steps.length, stepsPerPage)
    assert.equal(
      (await valuesOf(store, claim)).map(([name]) => name),
      names,
    )
  })

  register(
    'steps: of a run with more of them than are read at once, each job has all of its own',
    async ({ store }) => {
      const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
      await store.accept(run, start)
      const names = Array.from({ length: 500 }, (_, index) => `step ${index}`)
      for (const claim of (await store.claim(requestAt(start))).jobs) await keepAll(store, claim, names)
      const { jobs } = await runIn(store, run.id)
      assert.equal(
        jobs.map(({ steps, omitted }) => steps?.length ?? omitted),
        [500, 500, { resultBytes: null }],
      )
      assert.equal(
        (await store.getJob(run.id, 2))?.steps?.map(({ name }) => name),
        names,
      )
    },
  )
}
