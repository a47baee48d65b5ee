import * as assert from 'uvu/assert'
import { instantOf } from '../../../src/domain/ids.ts'
import type { JobRecord } from '../../../src/domain/job.ts'
import { rejects } from '../../harness/rejects.ts'
import { acceptAndClaim, acceptFirst, jobOf, requestAt, runIn, runOf, start } from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function acceptContract(register: Register): void {
  register('an accepted run is there with all its jobs, and they wait', async ({ store }) => {
    const jobs = [jobOf({ task: 'a', maxAttempts: 1 }), jobOf({ task: 'b', kind: 'cpu', delayMs: 500 })]
    const run = runOf({ respond: 'all', tags: ['x', 'y'], jobs })
    assert.equal(await store.accept(run, start), { result: 'accepted', first: null })
    assert.equal(await store.getRun(run.id), {
      id: run.id,
      state: 'running',
      version: 1,
      respond: 'all',
      tags: ['x', 'y'],
      answer: null,
      createdAt: instantOf(run.id),
      respondedAt: null,
      finishedAt: null,
      jobs: [
        { ...waiting, index: 0, task: 'a', maxAttempts: 1, runAt: start },
        { ...waiting, index: 1, task: 'b', maxAttempts: 3, runAt: start + 500 },
      ],
    })
  })

  register('claimsFirst: job 0 is born claimed for the main thread, and only job 0', async ({ store }) => {
    const jobs = [jobOf({ task: 'a', input: '{"n":1}', timeoutMs: 5, maxAttempts: 2 }), jobOf({ task: 'b' })]
    const run = runOf({ jobs, claimsFirst: true })
    const first = await acceptFirst(store, run, start)
    assert.ok(Number.isInteger(first.claim))
    assert.equal(first, {
      runId: run.id,
      jobIndex: 0,
      claim: first.claim,
      task: 'a',
      kind: 'io',
      input: '{"n":1}',
      thread: 'main',
      timeoutMs: 5,
      attempt: 1,
      maxAttempts: 2,
      lostStarts: 0,
      waitedMs: 0,
    })
    const accepted = await runIn(store, run.id)
    const started = { state: 'running', thread: 'main', attempt: 1, startedAt: start, runAt: null } as const
    assert.equal(accepted.jobs, [
      { ...waiting, index: 0, task: 'a', maxAttempts: 2, ...started },
      { ...waiting, index: 1, task: 'b', maxAttempts: 3, runAt: start },
    ])

    const { jobs: claimed } = await store.claim(requestAt(start))
    assert.equal(
      claimed.map(({ task }) => task),
      ['b'],
    )
    assert.is(await store.complete(first, '"done"', start + 1), 'settled')
  })

  register('a run of 100 jobs is accepted whole, in order', async ({ store }) => {
    const jobs = Array.from({ length: 100 }, (_, index) => jobOf({ task: `t${index}`, priority: index % 10 }))
    const run = runOf({ jobs })
    await store.accept(run, start)
    const accepted = await runIn(store, run.id)
    assert.equal(
      accepted.jobs.map(({ index, task }) => [index, task]),
      jobs.map(({ task }, index) => [index, task]),
    )
  })

  register('an id that was accepted before is refused, and the run of that id stays as it is', async ({ store }) => {
    const run = runOf({ tags: ['first'] })
    const claim = await acceptAndClaim(store, run, start)
    const before = await store.getRun(run.id)
    await rejects(store.accept({ ...run, tags: ['second'], jobs: [jobOf(), jobOf()] }, start + 1), 'internal')
    assert.equal(await store.getRun(run.id), before)
    assert.is((await store.stats(start)).conservation.accepted, 1)
    assert.is(store.backlog(), 1)
    assert.is(await store.complete(claim, '1', start + 2), 'settled')
  })

  register('a request that is not valid is accepted as a failed run, which cannot be retried', async ({ store }) => {
    const run = runOf({ respond: 'none', jobs: [jobOf({ maxAttempts: 0 })], refusal: 'the body: not valid' })
    assert.equal(await store.accept(run, start), { result: 'accepted', first: null })
    const { state, finishedAt, jobs } = await runIn(store, run.id)
    assert.equal([state, finishedAt, jobs[0]?.state], ['failed', start, 'failed'])
    assert.equal(jobs[0]?.error, { code: 'invalid_request', message: 'the body: not valid' })
    assert.is(await store.retry(run.id, 0, start + 1), 'was-refused')
    assert.equal((await store.stats(start)).conservation, { accepted: 1, final: 1, live: 0, lost: 0 })
  })

  register('a refused run does not affect other operations of its group', async ({ store }) => {
    const held = await acceptAndClaim(store, runOf(), start)
    const [twice, mate] = [runOf({ tags: ['kept'] }), runOf()]
    const [settled, accepted, , matched] = await Promise.all([
      store.complete(held, '1', start),
      store.accept(twice, start),
      rejects(store.accept({ ...twice, tags: ['refused'] }, start), 'internal'),
      store.accept(mate, start),
    ])
    const plain = { result: 'accepted', first: null }
    assert.equal([settled, accepted, matched], ['settled', plain, plain])
    assert.equal((await runIn(store, twice.id)).tags, ['kept'])
    assert.is((await runIn(store, mate.id)).version, 1)
    assert.is((await runIn(store, held.runId)).state, 'completed')
    assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 1, live: 2, lost: 0 })
    assert.is(store.backlog(), 2)
  })
}

const waiting: Omit<JobRecord, 'index' | 'task' | 'maxAttempts' | 'runAt'> = {
  state: 'queued',
  thread: null,
  attempt: 0,
  queuedAt: start,
  startedAt: null,
  finishedAt: null,
  result: null,
  error: null,
  failures: [],
}
