/** What becomes of the other jobs when the first fails for good. */
import * as assert from 'uvu/assert'
import { acceptFirst, claimOne, jobOf, requestAt, runIn, runOf, start, taskError } from '../../harness/store-run.ts'
import { until } from '../../harness/until.ts'
import type { RunChange } from '../../../src/domain/run.ts'
import type { Register } from './subject.ts'

export function firstFailureContract(register: Register): void {
  register('cancel: the other jobs are cancelled in the commit in which the first fails', async ({ store }) => {
    const jobs = [jobOf(), jobOf(), jobOf(), jobOf({ delayMs: 9_000 })]
    const run = runOf({ jobs, claimsFirst: true, onFirstFailure: 'cancel' })
    const changes: RunChange[] = []
    store.onChange((change) => void changes.push(change))
    const first = await acceptFirst(store, run, start)
    const done = await claimOne(store, start, { slots: [{ thread: 'worker-2', kind: 'io', count: 1 }] })
    await store.complete(done, '"done"', start)
    await store.claim(requestAt(start))
    await store.fail(first, taskError, null, start + 5)
    const ended = await runIn(store, run.id)
    assert.equal([ended.state, ended.finishedAt], ['failed', start + 5])
    assert.equal(
      ended.jobs.map(({ state, error }) => [state, error?.code]),
      [
        ['failed', 'task_error'],
        ['completed', undefined],
        ['cancelled', 'cancelled'],
        ['cancelled', 'cancelled'],
      ],
    )
    await until('the end is told', () => changes.some(({ state }) => state === 'failed'))
    const voided = [{ runId: run.id, jobIndex: 2, claim: 1 }]
    assert.equal(changes.at(-1)?.voided, voided, 'only a job that was running has to be stopped')
  })

  register('cancel: a success, or a failure that is retried, cancels nothing', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf({ delayMs: 9_000 })], claimsFirst: true, onFirstFailure: 'cancel' })
    await store.fail(await acceptFirst(store, run, start), taskError, start + 1, start)
    await store.complete(await claimOne(store, start + 1), 'null', start + 1)
    assert.equal(
      (await runIn(store, run.id)).jobs.map(({ state }) => state),
      ['completed', 'queued'],
    )
  })

  register('cancel: the failure of another job cancels nothing', async ({ store }) => {
    const run = runOf({
      jobs: [jobOf({ delayMs: 9_000 }), jobOf(), jobOf({ delayMs: 9_000 })],
      onFirstFailure: 'cancel',
    })
    await store.accept(run, start)
    await store.fail(await claimOne(store, start), taskError, null, start)
    assert.equal(
      (await runIn(store, run.id)).jobs.map(({ state }) => state),
      ['queued', 'failed', 'queued'],
    )
  })

  register('continue: the others continue', async ({ store }) => {
    const run = runOf({ jobs: [jobOf(), jobOf()], claimsFirst: true })
    await store.fail(await acceptFirst(store, run, start), taskError, null, start)
    assert.equal(
      (await runIn(store, run.id)).jobs.map(({ state }) => state),
      ['failed', 'queued'],
    )
  })

  register('cancel with `all`: the answer is decided when the first fails', async ({ store }) => {
    const run = runOf({ respond: 'all', jobs: [jobOf(), jobOf()], claimsFirst: true, onFirstFailure: 'cancel' })
    await store.fail(await acceptFirst(store, run, start), taskError, null, start)
    assert.equal((await runIn(store, run.id)).answer, { mode: 'all', jobIndex: null, status: 500 })
  })
}
