/** What a dead owner held comes back, and a job that keeps killing its process does not come back for ever. */
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../../src/domain/claim.ts'
import type { RunChange } from '../../../src/domain/run.ts'
import type { Store } from '../../../src/store/store.ts'
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
} from '../../harness/store-run.ts'
import { until } from '../../harness/until.ts'
import type { Register, StoreUnderTest } from './subject.ts'

export function rescueContract(register: Register): void {
  register('rescue queues the dead owner’s jobs again, and changes nothing else', async (subject) => {
    const before = subject.store
    const jobs = [
      jobOf({ task: 'held', priority: 7 }),
      jobOf({ task: 'done' }),
      jobOf({ task: 'tried' }),
      jobOf({ delayMs: 9_000 }),
    ]
    const run = runOf({ jobs })
    const main = runOf({ claimsFirst: true })
    await before.accept(run, start)
    const { jobs: claimed } = await before.claim(requestAt(start))
    await before.complete(entryAt(claimed, 1), '"kept"', start)
    await before.fail(entryAt(claimed, 2), taskError, start + 500, start)
    await before.accept(main, start)
    const { jobs: untouched } = await runIn(before, run.id)

    const store = await subject.replace()
    assert.is(store.backlog(), 4)
    assert.equal(await store.rescue(start + 100), { requeued: 2, crashed: 0, suspects: 0 })
    assert.equal((await runIn(store, run.id)).jobs.slice(1), untouched.slice(1))
    for (const id of [run.id, main.id]) {
      const held = await jobIn(store, id)
      assert.equal([held.state, held.attempt, held.thread], ['queued', 0, null])
      assert.equal(held.failures, [])
      assert.equal(held.lostStart, { startedAt: start, takenBackAt: start + 100 })
    }
    const again = await store.claim(requestAt(start + 100))
    assert.equal(again.jobs.map(({ runId }) => runId).toSorted(), [run.id, main.id].toSorted())
    for (const job of again.jobs) assert.equal([job.jobIndex, job.attempt, job.lostStarts], [0, 1, 1])
    assert.is((await jobIn(store, run.id)).lostStart?.takenBackAt, start + 100, 'it stays known')
    assert.is((await store.stats(start)).conservation.lost, 0)
  })

  register('jobs of the current owner are not rescued', async (subject) => {
    await acceptAndClaim(subject.store, runOf(), start)
    assert.equal(await subject.store.rescue(start), { requeued: 0, crashed: 0, suspects: 0 })
    const store = await subject.replace()
    assert.equal(await store.rescue(start), { requeued: 1, crashed: 0, suspects: 0 })
    assert.equal(await store.rescue(start), { requeued: 0, crashed: 0, suspects: 0 })
  })

  register('a claim of the dead owner stays void after the rescue', async (subject) => {
    const dead = await acceptAndClaim(subject.store, runOf(), start)
    const store = await subject.replace()
    await store.rescue(start)
    assert.is(await store.complete(dead, '"late"', start), 'stale')
    const live = await claimOne(store, start)
    assert.ok(live.claim > dead.claim)
    assert.is(await store.fail(dead, taskError, null, start), 'stale')
    assert.is(await store.release(dead, start), 'stale')
    assert.is(await store.complete(live, '"in time"', start), 'settled')
  })

  register('a rescue spends no attempt and forgets no failure', async (subject) => {
    const run = runOf()
    await subject.store.fail(await acceptAndClaim(subject.store, run, start), taskError, start, start)
    await claimOne(subject.store, start)
    const store = await subject.replace()
    await store.rescue(start)
    const job = await jobIn(store, run.id)
    assert.equal([job.state, job.attempt, job.failures.length], ['queued', 1, 1])
    assert.is((await claimOne(store, start)).attempt, 2)
  })

  for (const [maxAttempts, allowed] of [
    [1, 3],
    [5, 5],
  ] as const) {
    register(`of ${maxAttempts} attempts, a job fails as crashed at lost start ${allowed}`, async (subject) => {
      const run = runOf({ jobs: [jobOf({ maxAttempts }), jobOf({ delayMs: 1e6 })] })
      await subject.store.accept(run, start)
      const last = await loseStarts(subject, allowed - 1, start)
      assert.equal([last.job.attempt, last.job.lostStarts], [1, allowed - 1])
      const store = await subject.replace()
      const changes: RunChange[] = []
      store.onChange((change) => void changes.push(change))
      assert.equal(await store.rescue(start + 9), { requeued: 0, crashed: 1, suspects: 0 })

      const crashed = await runIn(store, run.id)
      const job = entryAt(crashed.jobs, 0)
      assert.equal([job.state, job.error?.code, job.finishedAt], ['failed', 'crashed', start + 9])
      assert.is(job.attempt, 0, 'no attempt was spent')
      assert.equal(crashed.answer, { mode: 'first', jobIndex: 0, status: 500 })
      assert.equal([crashed.state, crashed.respondedAt], ['running', start + 9])
      await until('the crash is told', () => changes.length > 0)
      assert.equal(changes, [
        { runId: run.id, version: crashed.version, state: 'running', isAnswered: true, voided: [] },
      ])
      assert.equal((await store.claim(requestAt(start + 10))).jobs, [])
      assert.equal((await store.stats(start)).conservation, { accepted: 2, final: 1, live: 1, lost: 0 })
    })
  }

  register('cancel: a first job that crashes ends the others, those that its process ran too', async (subject) => {
    const jobs = [jobOf({ maxAttempts: 1 }), jobOf({ delayMs: 1_000 }), jobOf({ delayMs: 9_000 })]
    const run = runOf({ jobs, onFirstFailure: 'cancel' })
    await subject.store.accept(run, start)
    const { store: last } = await loseStarts(subject, 2, start)
    const beside = await claimOne(last, start + 1_000)
    const store = await subject.replace()
    assert.equal(await store.rescue(start + 2_000), { requeued: 0, crashed: 1, suspects: 0 })
    const over = await runIn(store, run.id)
    assert.equal([over.state, over.finishedAt], ['failed', start + 2_000])
    assert.equal(
      over.jobs.map(({ state }) => state),
      ['failed', 'cancelled', 'cancelled'],
    )
    assert.is(await store.complete(beside, '"late"', start + 2_000), 'stale')
    assert.equal((await store.claim(requestAt(start + 9_000))).jobs, [])
    assert.equal((await store.stats(start)).conservation, { accepted: 3, final: 3, live: 0, lost: 0 })
  })

  register('a run whose last open job crashed is over', async (subject) => {
    const run = runOf({ respond: 'any', jobs: [jobOf()] })
    await subject.store.accept(run, start)
    await loseStarts(subject, 2, start)
    const store = await subject.replace()
    await store.rescue(start + 9)
    const over = await runIn(store, run.id)
    assert.equal([over.state, over.finishedAt], ['failed', start + 9])
    assert.equal(over.answer, { mode: 'any', jobIndex: null, status: 500 })
    assert.is(store.backlog(), 0)
  })
}

/** Claims the one due job, and lets its owner die, so many times; the job is claimed once more at the end. */
export async function loseStarts(
  subject: StoreUnderTest,
  times: number,
  at: number,
): Promise<{ store: Store; job: ClaimedJob }> {
  let { store } = subject
  let job = await claimOne(store, at)
  for (let lost = 1; lost <= times; lost += 1) {
    store = await subject.replace()
    const { requeued } = await store.rescue(at)
    assert.is(requeued, 1)
    job = await claimOne(store, at)
    assert.is(job.lostStarts, lost)
  }
  return { store, job }
}
