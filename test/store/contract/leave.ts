/** A process that was asked to leave and is killed has cost its jobs no start, unless that goes on for too long. */
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../../src/domain/claim.ts'
import { maxLeftStarts, soonAfterStartMs } from '../../../src/domain/job.ts'
import type { Store } from '../../../src/store/store.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  jobIn,
  jobOf,
  requestAt,
  runOf,
  start,
} from '../../harness/store-run.ts'
import { until } from '../../harness/until.ts'
import type { Register } from './subject.ts'

export function leaveContract(register: Register): void {
  register('a start is not lost if its process was asked to stop before it died', async (subject) => {
    const run = runOf()
    let { store } = subject
    await acceptFirst(store, runOf({ claimsFirst: true }), start)
    await acceptAndClaim(store, run, start)
    assert.is(await store.leave(start + 1), 2)
    store = await subject.replace()
    assert.equal(await store.rescue(start + 2), { requeued: 2, crashed: 0, suspects: 0 })
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.thread], ['queued', 0, null])
    const { jobs } = await store.claim(requestAt(start + 3))
    assert.equal(
      jobs.map(({ attempt, lostStarts }) => [attempt, lostStarts]),
      [
        [1, 0],
        [1, 0],
      ],
    )
    assert.is((await store.stats(start)).conservation.lost, 0)
  })

  register('a job can be settled after its process was asked to stop', async (subject) => {
    const { store } = subject
    const completed = await acceptAndClaim(store, runOf(), start)
    const failed = await acceptAndClaim(store, runOf(), start)
    const released = await acceptAndClaim(store, runOf(), start)
    assert.is(await store.leave(start), 3)
    assert.is(await store.complete(completed, '1', start), 'settled')
    assert.is(await store.fail(failed, { code: 'timeout', message: 'late' }, null, start), 'settled')
    assert.is(await store.release(released, start), 'settled')
    assert.equal(
      await Promise.all([completed, failed, released].map(async ({ runId }) => (await jobIn(store, runId)).state)),
      ['completed', 'failed', 'queued'],
    )
    assert.is(await store.leave(start), 0)
  })

  register('only the start during which the process was asked to stop is excused', async (subject) => {
    const { runId } = await acceptAndClaim(subject.store, runOf(), start)
    await subject.store.leave(start)
    let store = await subject.replace()
    await store.rescue(start)
    await claimOne(store, start)
    store = await subject.replace()
    await store.rescue(start)
    assert.is((await claimOne(store, start)).lostStarts, 1)
    assert.is((await jobIn(store, runId)).state, 'running')
  })

  register('a job fails in the end if its process is asked to stop after each of its starts', async (subject) => {
    const { store } = subject
    const run = runOf({ jobs: [jobOf({ maxAttempts: 2 })] })
    await store.accept(run, start)
    const lostStarts: number[] = []
    for (let left = 0; left < maxLeftStarts + 3; left += 1) lostStarts.push((await startAndLeave(store)).lostStarts)
    assert.equal(lostStarts, [...Array.from({ length: maxLeftStarts + 1 }, () => 0), 1, 2])
    const failed = await jobIn(store, run.id)
    assert.equal([failed.state, failed.error?.code, failed.attempt], ['failed', 'crashed', 0])
    assert.is(failed.error?.message, `the process was asked to stop soon after ${maxLeftStarts + 3} starts of this job`)

    assert.is(await store.retry(run.id, 0, start + 1), 'queued')
    await startAndLeave(store, 0, start + 1)
    assert.is((await claimOne(store, start + 1)).lostStarts, 0, 'a requested retry begins afresh')
  })

  register('repeated requests to stop during one start count once', async (subject) => {
    const { store } = subject
    await store.accept(runOf(), start)
    for (let left = 0; left < maxLeftStarts + 2; left += 1) assert.is(await store.leave(start), 0)
    const claim = await claimOne(store, start)
    for (let left = 0; left < maxLeftStarts + 2; left += 1) assert.is(await store.leave(start), 1)
    assert.is(await store.release(claim, start), 'settled')
    assert.is((await claimOne(store, start)).lostStarts, 0)
  })

  register('a long job is handed back as often as its process has to leave', async (subject) => {
    const { store } = subject
    await store.accept(runOf(), start)
    for (let left = 0; left < maxLeftStarts + 5; left += 1) {
      assert.is((await startAndLeave(store, soonAfterStartMs)).lostStarts, 0)
    }
  })
}

/** Starts the one job that is due, asks to leave so long after that, and hands the job back. */
async function startAndLeave(store: Store, afterMs = 0, at = start): Promise<ClaimedJob> {
  // The last chance of a job may come a moment later.
  const job = await until('the job is claimed', async () => (await store.claim(requestAt(at))).jobs[0])
  assert.is(await store.leave(at + afterMs), 1)
  assert.is(await store.release(job, at), 'settled')
  return job
}
