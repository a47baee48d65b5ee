/** How a claimed job leaves `running`, and what that makes of its run. */
import * as assert from 'uvu/assert'
import type { JobError } from '../../../src/domain/job.ts'
import {
  acceptAndClaim,
  claimOne,
  entryAt,
  jobIn,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
  acceptFirst,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function settleContract(register: Register): void {
  register('complete: the job is final with its result, and so is its run', async ({ store }) => {
    const run = runOf()
    const claim = await acceptAndClaim(store, run, start)
    assert.is(await store.complete(claim, '{"sum":3}', start + 7), 'settled')
    const { state, finishedAt, jobs } = await runIn(store, run.id)
    assert.equal([state, finishedAt], ['completed', start + 7])
    assert.equal(jobs, [
      {
        index: 0,
        task: 'echo',
        state: 'completed',
        thread: 'worker-2',
        attempt: 1,
        maxAttempts: 3,
        queuedAt: start,
        startedAt: start,
        finishedAt: start + 7,
        runAt: null,
        result: '{"sum":3}',
        error: null,
        failures: [],
      },
    ])
  })

  register('fail for good: the job is final with its error and a failure', async ({ store }) => {
    const run = runOf()
    const claim = await acceptAndClaim(store, run, start)
    assert.is(await store.fail(claim, taskError, null, start + 7), 'settled')
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.finishedAt, job.result], ['failed', start + 7, null])
    assert.equal(job.error, taskError)
    assert.equal(job.failures, [{ attempt: 1, startedAt: start, finishedAt: start + 7, error: taskError }])
    assert.equal((await store.claim(requestAt(start + 1e9))).jobs, [])
  })

  register('fail with a retry: the job waits until it is due, and spends its attempts', async ({ store }) => {
    const run = runOf()
    await store.fail(await acceptAndClaim(store, run, start), taskError, start + 500, start + 10)
    const waiting = await jobIn(store, run.id)
    assert.equal([waiting.state, waiting.runAt, waiting.finishedAt], ['retrying', start + 500, null])
    assert.equal([waiting.attempt, waiting.error], [1, null])
    assert.is((await runIn(store, run.id)).state, 'running')
    assert.equal(await store.claim(requestAt(start + 499)), { jobs: [], nextDueAt: start + 500 })

    const second = await claimOne(store, start + 500)
    assert.equal([second.attempt, second.maxAttempts, second.lostStarts], [2, 3, 0])
    const later: JobError = { code: 'timeout', message: 'too slow' }
    await store.fail(second, later, start + 600, start + 510)
    const third = await claimOne(store, start + 600)
    await store.complete(third, '"at last"', start + 610)
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.result, job.error], ['completed', 3, '"at last"', null])
    assert.equal(job.failures, [
      { attempt: 1, startedAt: start, finishedAt: start + 10, error: taskError },
      { attempt: 2, startedAt: start + 500, finishedAt: start + 510, error: later },
    ])
    assert.is((await runIn(store, run.id)).state, 'completed')
  })

  register('release: the job is due again at once, and no attempt is spent', async ({ store }) => {
    const run = runOf()
    const first = await acceptAndClaim(store, run, start)
    assert.is(await store.release(first, start + 20), 'settled')
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.runAt, job.thread], ['queued', 0, start + 20, null])
    assert.equal(job.failures, [])
    const again = await claimOne(store, start + 20)
    assert.equal([again.attempt, again.lostStarts], [1, 0])
    assert.ok(again.claim > first.claim)
  })

  register('release keeps the attempts that were spent before', async ({ store }) => {
    const run = runOf()
    await store.fail(await acceptAndClaim(store, run, start), taskError, start, start)
    await store.release(await claimOne(store, start), start + 1)
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.failures.length], ['queued', 1, 1])
    assert.is((await claimOne(store, start + 1)).attempt, 2)
  })

  register('a job claimed with its run can be released, and anyone may then take it', async ({ store }) => {
    const first = await acceptFirst(store, runOf({ claimsFirst: true }), start)
    assert.is(await store.release(first, start + 1), 'settled')
    const again = await claimOne(store, start + 1)
    assert.equal([again.jobIndex, again.thread, again.attempt], [0, 'worker-2', 1])
  })

  register('a run is running until its last job is final, and failed if any of them failed', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
    await store.accept(run, start)
    const { jobs } = await store.claim(requestAt(start))
    await store.complete(entryAt(jobs, 2), 'null', start + 1)
    await store.fail(entryAt(jobs, 0), taskError, null, start + 2)
    const open = await runIn(store, run.id)
    assert.equal([open.state, open.finishedAt], ['running', null])
    await store.complete(entryAt(jobs, 1), 'null', start + 3)
    const ended = await runIn(store, run.id)
    assert.equal([ended.state, ended.finishedAt, ended.respondedAt], ['failed', start + 3, start + 2])
  })
}
