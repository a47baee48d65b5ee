/** A job that ended without success is queued again when somebody asks for it; its run goes on. */
import * as assert from 'uvu/assert'
import { newRunId } from '../../../src/domain/ids.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  jobIn,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function retryContract(register: Register): void {
  register('a failed job is queued again with fresh attempts, and keeps its failures', async ({ store }) => {
    const run = runOf({ jobs: [jobOf({ maxAttempts: 2, priority: 3 })] })
    await store.fail(await acceptAndClaim(store, run, start), taskError, start + 1, start)
    const last = await claimOne(store, start + 1)
    await store.fail(last, taskError, null, start + 2)
    assert.is(await store.retry(run.id, 0, start + 10), 'queued')

    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.runAt, job.queuedAt], ['queued', 0, start + 10, start + 10])
    assert.equal([job.startedAt, job.finishedAt, job.thread, job.error], [null, null, null, null])
    assert.is(job.failures.length, 2)
    const next = await claimOne(store, start + 10)
    assert.equal([next.attempt, next.maxAttempts], [1, 2])
    assert.ok(next.claim > last.claim, 'a claim only grows')
    assert.is(await store.complete(last, '"late"', start + 11), 'stale')
    assert.is(await store.complete(next, '"now"', start + 11), 'settled')
  })

  register('its run is running again, and keeps the answer that it has', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf()], claimsFirst: true })
    await store.fail(await acceptFirst(store, run, start), taskError, null, start + 1)
    await store.complete(await claimOne(store, start), 'null', start + 2)
    const failed = await runIn(store, run.id)
    assert.is(failed.state, 'failed')
    await store.retry(run.id, 0, start + 10)
    const again = await runIn(store, run.id)
    assert.equal([again.state, again.finishedAt, again.version], ['running', null, failed.version + 1])
    await store.complete(await claimOne(store, start + 10), '"better"', start + 11)
    const { state, finishedAt, answer, respondedAt } = await runIn(store, run.id)
    assert.equal([state, finishedAt], ['completed', start + 11])
    assert.equal([answer, respondedAt], [failed.answer, failed.respondedAt])
  })

  register('a cancelled job can be retried too, though its thread may still run', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await store.cancel(claim.runId, 0, start)
    assert.is(await store.retry(claim.runId, 0, start + 1), 'queued')
    const next = await claimOne(store, start + 1)
    assert.is(await store.complete(claim, '"old"', start + 2), 'stale')
    assert.is(await store.complete(next, '"new"', start + 2), 'settled')
    assert.is((await runIn(store, claim.runId)).state, 'completed')
  })

  register('unfinished, completed and unknown jobs are not changed', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf({ jobs: [jobOf(), jobOf({ delayMs: 9_000 })] }), start)
    assert.is(await store.retry(claim.runId, 0, start), 'not-final')
    assert.is(await store.retry(claim.runId, 1, start), 'not-final')
    await store.complete(claim, 'null', start)
    const before = await runIn(store, claim.runId)
    assert.is(await store.retry(claim.runId, 0, start), 'was-completed')
    assert.is(await store.retry(claim.runId, 2, start), 'not-found')
    assert.is(await store.retry(newRunId(), 0, start), 'not-found')
    assert.equal(await runIn(store, claim.runId), before)
  })

  register('a retried job is live in every total, and none is lost', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await store.fail(claim, taskError, null, start)
    assert.is(store.backlog(), 0)
    await store.retry(claim.runId, 0, start)
    const { runs, jobs, conservation } = await store.stats(start)
    assert.equal([runs.failed, runs.running, jobs.failed, jobs.queued, store.backlog()], [0, 1, 0, 1, 1])
    assert.equal(conservation, { accepted: 1, final: 0, live: 1, lost: 0 })
    await store.complete(await claimOne(store, start), 'null', start)
    assert.equal((await store.stats(start)).conservation, { accepted: 1, final: 1, live: 0, lost: 0 })
  })

  register('a run that is retried is not pruned', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await store.fail(claim, taskError, null, start)
    await store.retry(claim.runId, 0, start)
    assert.is(await store.prune(start + 1e9, 10, start), 0)
    assert.is((await store.claim(requestAt(start))).jobs.length, 1)
  })
}
