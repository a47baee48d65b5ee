/** The totals: nothing that was accepted is ever missing from them. */
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../../src/domain/claim.ts'
import { isFinalJob } from '../../../src/domain/job.ts'
import type { Store } from '../../../src/store/store.ts'
import {
  acceptAndClaim,
  claimOne,
  entryAt,
  jobOf,
  requestAt,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const noRuns = { running: 0, completed: 0, failed: 0, cancelled: 0 }
const noJobs = { queued: 0, running: 0, retrying: 0, completed: 0, failed: 0, cancelled: 0, blocked: 0 }

export function conservationContract(register: Register): void {
  register('the totals follow every job from its acceptance to its removal', async ({ store }) => {
    assert.equal(await store.stats(start), {
      runs: noRuns,
      jobs: noJobs,
      oldestQueuedMs: null,
      unknownTasks: {},
      conservation: { accepted: 0, final: 0, live: 0, lost: 0 },
    })
    assert.is(store.backlog(), 0)
    await store.accept(runOf({ jobs: [jobOf(), jobOf(), jobOf(), jobOf()] }), start)
    const { jobs } = await store.claim(requestAt(start))
    await store.complete(entryAt(jobs, 0), 'null', start)
    await store.fail(entryAt(jobs, 1), taskError, null, start)
    await store.fail(entryAt(jobs, 2), taskError, start + 50, start)
    await store.accept(runOf({ claimsFirst: true }), start)
    await store.complete(await acceptAndClaim(store, runOf(), start), 'null', start)
    await store.accept(runOf(), start + 10)
    assert.equal(await store.stats(start + 40), {
      runs: { ...noRuns, running: 3, completed: 1 },
      jobs: { ...noJobs, queued: 1, running: 2, retrying: 1, completed: 2, failed: 1 },
      oldestQueuedMs: 30,
      unknownTasks: {},
      conservation: { accepted: 7, final: 3, live: 4, lost: 0 },
    })
    assert.is(store.backlog(), 4)
    assert.is(await store.prune(start + 1, 10, start), 1)
    const { runs, jobs: left, conservation } = await store.stats(start + 40)
    assert.equal(runs, { ...noRuns, running: 3 })
    assert.equal(left, { ...noJobs, queued: 1, running: 2, retrying: 1, completed: 1, failed: 1 })
    assert.equal(conservation, { accepted: 7, final: 3, live: 4, lost: 0 })
  })

  register('the longest wait counts from when a job was due, over every kind and priority', async ({ store }) => {
    const jobs = [
      jobOf({ priority: 9, delayMs: 700 }),
      jobOf({ kind: 'cpu', priority: 4, delayMs: 300 }),
      jobOf({ delayMs: 500 }),
    ]
    await store.accept(runOf({ jobs }), start)
    const waits: [number, number | null][] = [
      [299, null],
      [300, 0],
      [600, 300],
      [1_000, 700],
    ]
    for (const [afterMs, waitMs] of waits) assert.is((await store.stats(start + afterMs)).oldestQueuedMs, waitMs)
    const slots = [{ thread: 'worker-1', kind: 'cpu', count: 1 }] as const
    await claimOne(store, start + 1_000, { slots })
    assert.is((await store.stats(start + 1_000)).oldestQueuedMs, 500)
  })

  register('no sequence of verbs loses a job', async ({ store }) => {
    const random = randomFrom(20_260_731)
    const held: ClaimedJob[] = []
    let accepted = 0
    let final = 0
    let at = start
    for (let step = 0; step < 400; step += 1) {
      at += Math.floor(random() * 20)
      const claim = held[Math.floor(random() * held.length)]
      const dice = random()
      if (dice < 0.3 || claim === undefined) {
        const jobs = Array.from({ length: 1 + Math.floor(random() * 4) }, () =>
          jobOf({ delayMs: Math.floor(random() * 40) }),
        )
        const report = await store.accept(runOf({ jobs, claimsFirst: random() < 0.5 }), at)
        if (report.result === 'accepted' && report.first !== null) held.push(report.first)
        accepted += jobs.length
      } else if (dice < 0.5) {
        held.push(...(await store.claim(requestAt(at))).jobs)
      } else if (dice < 0.55) {
        await store.prune(at, 3, start)
      } else {
        // Claims stay in `held`, so that later steps use them when they are void.
        if (dice < 0.65) await store.release(claim, at)
        else if (dice < 0.75) await store.fail(claim, taskError, at + 30, at)
        else if (dice < 0.8) final += await cancel(store, claim, at)
        else if (dice < 0.9) final += await settled(store, claim, () => store.fail(claim, taskError, null, at))
        else final += await settled(store, claim, () => store.complete(claim, 'null', at))
      }
      const { conservation } = await store.stats(at)
      assert.equal(conservation, { accepted, final, live: accepted - final, lost: 0 }, `after step ${step}`)
      assert.is(store.backlog(), accepted - final)
    }
    // Whatever is left can still be brought to its end.
    for (const job of held) final += await settled(store, job, () => store.complete(job, 'null', at))
    const { jobs: rest } = await store.claim(requestAt(at + 1_000))
    for (const job of rest) final += Number((await store.complete(job, 'null', at)) === 'settled')
    assert.is(final, accepted)
    assert.is(store.backlog(), 0)
  })
}

/** Cancels the job, or of an even index the whole run, and gives how many jobs that must have ended. */
async function cancel(store: Store, { runId, jobIndex }: ClaimedJob, at: number): Promise<number> {
  const named = jobIndex % 2 === 0 ? null : jobIndex
  const jobs = (await store.getRun(runId))?.jobs ?? []
  await store.cancel(runId, named, at)
  return jobs.filter(({ index, state }) => (named ?? index) === index && !isFinalJob(state)).length
}

/** Settles the job, and gives whether it has ended with that: a claim that is void ends nothing. */
async function settled(store: Store, { runId, jobIndex }: ClaimedJob, settle: () => Promise<unknown>): Promise<number> {
  const isOver = async (): Promise<boolean> => isFinalJob((await store.getJob(runId, jobIndex))?.state ?? 'completed')
  const before = await isOver()
  await settle()
  return Number(await isOver()) - Number(before)
}

/** Mulberry32: the same sequence on every machine. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
