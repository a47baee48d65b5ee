/** Rates of tasks: how many of their jobs may start in any window. Shared stores have one clock for it, so time is real. */
import * as assert from 'uvu/assert'
import type { Rate } from '../../../src/domain/task.ts'
import type { ClaimRequest, ClaimResult } from '../../../src/store/claim-requests.ts'
import type { Store } from '../../../src/store/store.ts'
import { jobIn, jobOf, requestAt, runOf, taskError } from '../../harness/store-run.ts'
import { until } from '../../harness/until.ts'
import type { Register } from './subject.ts'

/** Longer than any test. */
const perMs = 600_000

/** Claims now, as often as the store says that more can be claimed at once. */
async function claimNow(store: Store, rate: Rate, members: Partial<ClaimRequest> = {}): Promise<ClaimResult> {
  const jobs: ClaimResult['jobs'][number][] = []
  for (;;) {
    const result = await store.claim(requestAt(Date.now(), { rates: { echo: rate }, ...members }))
    jobs.push(...result.jobs)
    // Jobs that were accepted in the same commit can be left to the next claim.
    if (result.nextDueAt === null || result.nextDueAt > Date.now() + 20) return { ...result, jobs }
  }
}

const acceptMany = (store: Store, count: number) =>
  store.accept(runOf({ jobs: Array.from({ length: count }, () => jobOf()) }), Date.now())

export function rateContract(register: Register): void {
  register('rate: no more jobs start than may, the next ones say when, and others pass them', async ({ store }) => {
    const begunAt = Date.now()
    await store.accept(runOf({ jobs: [1, 2, 3].map(() => jobOf({ priority: 9 })) }), begunAt)
    await store.accept(runOf({ jobs: [jobOf({ task: 'other' }), jobOf({ kind: 'cpu' })] }), begunAt)
    const { jobs, nextDueAt, ratedUntil } = await claimNow(store, { limit: 2, perMs })
    assert.equal(jobs.map(({ task, kind }) => `${task} ${kind}`).toSorted(), ['echo cpu', 'echo io', 'other io'])
    const room = (nextDueAt ?? 0) - begunAt - perMs
    assert.ok(room >= 0 && room < 10_000, `the next one may start ${room} ms after the window`)
    assert.ok(Math.abs((ratedUntil?.['echo'] ?? 0) - (nextDueAt ?? 0)) < 100)
    assert.equal((await claimNow(store, { limit: 2, perMs })).jobs, [])
    assert.equal((await store.stats(Date.now())).jobs.queued, 2)
  })

  register('rate: every start counts, whatever its outcome, also across restarts', async (subject) => {
    let { store } = subject
    const rate = { limit: 4, perMs }
    await acceptMany(store, 2)
    const [first, second] = (await claimNow(store, rate)).jobs
    if (first === undefined || second === undefined) throw new Error('two jobs were to be claimed')
    await store.fail(first, taskError, Date.now(), Date.now())
    await store.release(second, Date.now())
    assert.is((await claimNow(store, rate)).jobs.length, 2)
    store = await subject.replace()
    await store.rescue(Date.now())
    assert.equal((await claimNow(store, rate)).jobs, [])
    assert.is((await claimNow(store, { limit: 5, perMs })).jobs.length, 1)
    assert.is((await store.claim(requestAt(Date.now()))).jobs.length, 1, 'a claimant without a rate claims all')
  })

  register('rate: windows slide, and waiting jobs start when a window has room', async ({ store }) => {
    const rate = { limit: 3, perMs: 150 }
    await acceptMany(store, 2)
    await claimNow(store, rate)
    await acceptMany(store, 8)
    const startedAt: number[] = []
    await until('all have started', async () => {
      const { jobs } = await claimNow(store, rate)
      for (const { runId, jobIndex } of jobs) startedAt.push((await jobIn(store, runId, jobIndex)).startedAt ?? 0)
      return startedAt.length === 8
    })
    for (const [index, at] of startedAt.entries()) {
      const earlier = startedAt[index - rate.limit]
      assert.ok(earlier === undefined || at - earlier >= rate.perMs, startedAt.join(' '))
    }
  })

  register('rate: jobs that start in the commit that accepts them count, and so do suspects', async (subject) => {
    let { store } = subject
    const rate = { limit: 2, perMs }
    await claimNow(store, rate)
    const [, { jobs }] = await Promise.all([acceptMany(store, 3), claimNow(store, rate)])
    const { jobs: more } = await claimNow(store, rate)
    assert.is(jobs.length + more.length, 2)
    const suspect = runOf({ jobs: [jobOf({ task: 'poison', maxAttempts: 1 })] })
    await store.accept(suspect, Date.now())
    const rates = { poison: { limit: 3, perMs } }
    for (const isLost of [false, true]) {
      const { jobs: claimed } = await store.claim(requestAt(Date.now(), { rates, taskLimits: { echo: 0 } }))
      assert.equal([claimed.length, claimed[0]?.lostStarts], [1, Number(isLost)])
      store = await subject.replace()
      await store.rescue(Date.now())
    }
    assert.is((await jobIn(store, suspect.id)).state, 'queued')
    const full = { poison: { limit: 2, perMs } }
    assert.equal((await store.claim(requestAt(Date.now(), { rates: full, only: 'suspects' }))).jobs, [])
    const claimed = await store.claim(requestAt(Date.now(), { rates, only: 'suspects' }))
    assert.is(claimed.jobs.length, 1)
  })

  register('rate: it holds beside the limit of a task, and a job that is not due leaves no room', async ({ store }) => {
    const rate = { limit: 3, perMs }
    await store.accept(runOf({ jobs: [jobOf({ delayMs: 60_000 })] }), Date.now())
    await acceptMany(store, 5)
    assert.is((await claimNow(store, rate, { taskLimits: { echo: 1 } })).jobs.length, 1)
    assert.is((await claimNow(store, rate, { taskLimits: { echo: 9 } })).jobs.length, 2)
    const { jobs, nextDueAt } = await claimNow(store, rate)
    assert.equal(jobs, [])
    assert.ok((nextDueAt ?? Infinity) < Date.now() + perMs + 1_000)
  })

  register('rate: a task can have the name of a member of every object', async ({ store }) => {
    const task = 'constructor'
    await store.accept(runOf({ jobs: Array.from({ length: 3 }, () => jobOf({ task })) }), Date.now())
    const request = requestAt(Date.now(), { rates: { [task]: { limit: 2, perMs } } })
    assert.is((await store.claim(request)).jobs.length, 2)
    assert.equal((await store.claim(request)).jobs, [])
    await acceptMany(store, 2)
    const others = { rates: { echo: { limit: 1, perMs } }, taskLimits: { [task]: 0 } }
    const { jobs } = await store.claim(requestAt(Date.now(), others))
    assert.equal(
      jobs.map((job) => job.task),
      ['echo'],
    )
    const { nextDueAt } = await store.claim(requestAt(Date.now(), others))
    assert.ok((nextDueAt ?? 0) > Date.now() + 20, 'the other one may start in the next window')
  })
}
