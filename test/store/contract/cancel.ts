/** A cancel takes effect with its commit, and wins over every outcome that comes later. */
import * as assert from 'uvu/assert'
import type { RunChange } from '../../../src/domain/run.ts'
import { newRunId } from '../../../src/domain/ids.ts'
import { claimOf } from '../../../src/domain/claim.ts'
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
import { until } from '../../harness/until.ts'
import type { Register } from './subject.ts'

export function cancelContract(register: Register): void {
  register(
    'cancelling a run ends every job that is not final, and tells of those that were running',
    async ({ store }) => {
      const tasks = ['done', 'running', 'retrying', 'running', 'waiting']
      const run = runOf({ jobs: tasks.map((task) => jobOf({ task, delayMs: task === 'waiting' ? 9_000 : 0 })) })
      await store.accept(run, start)
      const { jobs } = await store.claim(requestAt(start))
      await store.complete(entryAt(jobs, 0), '"kept"', start)
      await store.fail(entryAt(jobs, 2), taskError, start + 500, start)
      const changes: RunChange[] = []
      store.onChange((change) => void changes.push(change))
      assert.equal(await store.cancel(run.id, null, start + 7), 'cancelled')
      await until('it is told', () => changes.length > 0)
      assert.equal(
        changes.map(({ voided }) => voided),
        [[1, 3].map((jobIndex) => ({ runId: run.id, jobIndex, claim: 1 }))],
      )

      const cancelled = await runIn(store, run.id)
      assert.equal([cancelled.state, cancelled.finishedAt], ['cancelled', start + 7])
      assert.equal(
        cancelled.jobs.map(({ state }) => state),
        ['completed', 'cancelled', 'cancelled', 'cancelled', 'cancelled'],
      )
      for (const { error, finishedAt, runAt, result } of cancelled.jobs.slice(1)) {
        assert.equal([error?.code, finishedAt, runAt, result], ['cancelled', start + 7, null, null])
      }
      assert.is(entryAt(cancelled.jobs, 0).result, '"kept"')
      assert.is(entryAt(cancelled.jobs, 2).failures.length, 1, 'what failed before is still told')
      assert.equal(await store.claim(requestAt(start + 1e9)), { jobs: [], nextDueAt: null })
    },
  )

  register('an outcome that comes after the cancel changes nothing', async ({ store }) => {
    const claim = await acceptAndClaim(store, runOf(), start)
    await store.cancel(claim.runId, null, start + 1)
    const before = await runIn(store, claim.runId)
    assert.is(await store.complete(claim, '"late"', start + 2), 'stale')
    assert.is(await store.fail(claim, taskError, null, start + 2), 'stale')
    assert.is(await store.fail(claim, taskError, start + 3, start + 2), 'stale')
    assert.is(await store.release(claim, start + 2), 'stale')
    assert.equal(await runIn(store, claim.runId), before)
  })

  register('a cancel names the claim that it ends, and not that of a retry right after it', async ({ store }) => {
    const changes: RunChange[] = []
    store.onChange((change) => void changes.push(change))
    const ways = {
      'of the job': (runId: string) => store.cancel(runId, 0, start),
      'of the run': (runId: string) => store.cancel(runId, null, start),
    }
    for (const [way, cancel] of Object.entries(ways)) {
      const first = await acceptAndClaim(store, runOf(), start)
      // Together: in one engine they are one commit.
      const [, , { jobs }] = await Promise.all([
        cancel(first.runId),
        store.retry(first.runId, 0, start),
        store.claim(requestAt(start)),
      ])
      const again = jobs[0] ?? (await claimOne(store, start))
      await until('the cancel is told', () => changes.some(({ voided }) => voided.length > 0))
      assert.equal(
        changes.flatMap(({ voided }) => voided),
        [claimOf(first)],
        way,
      )
      assert.ok(again.claim > first.claim)
      assert.is(await store.complete(again, '"again"', start), 'settled')
      changes.length = 0
    }
  })

  register(
    'a first failure names the claims that it ends, and not that of a retry right after it',
    async ({ store }) => {
      const changes: RunChange[] = []
      store.onChange((change) => void changes.push(change))
      const run = runOf({ jobs: [jobOf(), jobOf()], claimsFirst: true, onFirstFailure: 'cancel' })
      const first = await acceptFirst(store, run, start)
      const other = await claimOne(store, start)
      await Promise.all([store.fail(first, taskError, null, start), store.retry(run.id, 1, start)])
      const again = await claimOne(store, start)
      await until('the cancel is told', () => changes.some(({ voided }) => voided.length > 0))
      assert.equal(
        changes.flatMap(({ voided }) => voided),
        [claimOf(other)],
      )
      assert.is(await store.complete(again, '"again"', start), 'settled')
    },
  )

  register('of a concurrent cancel and outcome, the earlier one wins', async ({ store }) => {
    const early = await acceptAndClaim(store, runOf(), start)
    const cancelled = await Promise.all([store.cancel(early.runId, 0, start), store.complete(early, '1', start)])
    assert.equal(cancelled, ['cancelled', 'stale'])
    const late = await acceptAndClaim(store, runOf(), start)
    const completed = await Promise.all([store.complete(late, '1', start), store.cancel(late.runId, 0, start)])
    assert.equal(completed, ['settled', 'was-final'])
    const states = [(await runIn(store, early.runId)).state, (await runIn(store, late.runId)).state]
    assert.equal(states, ['cancelled', 'completed'])
  })

  register('one job can be cancelled, and the others continue', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()] })
    await store.accept(run, start)
    assert.equal(await store.cancel(run.id, 1, start), 'cancelled')
    assert.is((await jobIn(store, run.id, 1)).thread, null)
    const open = await runIn(store, run.id)
    assert.equal([open.state, open.finishedAt], ['running', null])
    const { jobs } = await store.claim(requestAt(start))
    assert.equal(
      jobs.map(({ jobIndex }) => jobIndex),
      [0, 2],
    )
    for (const job of jobs) await store.complete(job, 'null', start)
    assert.is((await runIn(store, run.id)).state, 'cancelled')
  })

  register('a run that had a failure is failed, though the rest of it was cancelled', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 9_000 })] })
    await store.accept(run, start)
    await store.fail(await claimOne(store, start), taskError, null, start)
    assert.is(await store.cancel(run.id, null, start), 'cancelled')
    assert.is((await runIn(store, run.id)).state, 'failed')
    assert.equal(await store.cancel(run.id, null, start), 'was-final')
  })

  register('ended and unknown jobs are distinguished, and nothing changes', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 9_000 })] })
    await store.accept(run, start)
    await store.complete(await claimOne(store, start), 'null', start)
    await store.cancel(run.id, 1, start)
    const before = await runIn(store, run.id)
    const results: [number | null, string][] = [
      [null, 'was-cancelled'],
      [0, 'was-final'],
      [1, 'was-cancelled'],
      [2, 'not-found'],
      [-1, 'not-found'],
    ]
    for (const [jobIndex, result] of results) {
      assert.equal(await store.cancel(run.id, jobIndex, start + 1), result, `job ${jobIndex}`)
    }
    assert.equal(await store.cancel(newRunId(), null, start), 'not-found')
    assert.equal(await runIn(store, run.id), before)
  })

  register('a cancelled job is final in every total', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf(), jobOf()], claimsFirst: true })
    await store.accept(run, start)
    await store.cancel(run.id, null, start + 1)
    const { runs, jobs, conservation, oldestQueuedMs } = await store.stats(start + 9)
    assert.equal([runs.running, runs.cancelled], [0, 1])
    assert.equal([jobs.queued, jobs.running, jobs.cancelled, oldestQueuedMs], [0, 0, 3, null])
    assert.equal(conservation, { accepted: 3, final: 3, live: 0, lost: 0 })
    assert.is(store.backlog(), 0)
    assert.is(await store.prune(start + 2, 10, start), 1)
    assert.is((await store.stats(start + 9)).conservation.lost, 0)
  })
}
