/** Reading: one run whole, and pages of runs. */
import * as assert from 'uvu/assert'
import { claimOf as claimOfJob } from '../../../src/domain/claim.ts'
import { newRunId } from '../../../src/domain/ids.ts'
import type { JobError } from '../../../src/domain/job.ts'
import type { RunFilter, Store } from '../../../src/store/store.ts'
import {
  acceptAndClaim,
  acceptFirst,
  runIdAt,
  claimOne,
  entryAt,
  jobOf,
  requestAt,
  runIn,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

export function readContract(register: Register): void {
  register('a run that is not there is null', async ({ store }) => {
    await store.accept(runOf(), start)
    assert.is(await store.getRun(newRunId()), null)
    assert.is(await store.getRun(''), null)
  })

  register('a read sees all earlier operations', async ({ store }) => {
    const run = runOf()
    const accepting = store.accept(run, start)
    const reading = store.getRun(run.id)
    await accepting
    assert.is((await reading)?.version, 1)
    const claim = await claimOne(store, start)
    const settling = store.complete(claim, '"now"', start)
    const [read, listed, stats] = [store.getRun(run.id), store.listRuns({ pageSize: 1 }), store.stats(start)]
    await settling
    assert.is((await read)?.jobs[0]?.result, '"now"')
    assert.is((await listed).runs[0]?.state, 'completed')
    assert.is((await stats).conservation.final, 1)
  })

  register('a list shows the newest run first, without results, failures and details of errors', async ({ store }) => {
    const runs = [runOf({ tags: ['a'] }), runOf({ respond: 'all', jobs: [jobOf(), jobOf({ task: 'b' })] }), runOf()]
    await store.complete(await acceptAndClaim(store, entryAt(runs, 0), start), '"result"', start + 1)
    const error: JobError = { ...taskError, message: 'x'.repeat(4_096), stack: 'at', cause: { message: 'why' } }
    await store.fail(await acceptAndClaim(store, entryAt(runs, 2), start), error, null, start + 1)
    await store.accept(entryAt(runs, 1), start)
    const expected = await Promise.all(runs.toReversed().map(({ id }) => runIn(store, id)))
    assert.is(entryAt(entryAt(expected, 2).jobs, 0).result, '"result"')
    assert.equal(entryAt(entryAt(expected, 0).jobs, 0).error, error)
    const short = { ...taskError, message: `${'x'.repeat(500)}…` }
    const bare = expected.map((run) => ({
      ...run,
      jobs: run.jobs.map((job) => ({
        ...job,
        result: null,
        failures: [],
        error: job.error && short,
        ...(job.failures.length > 0 && { failedAttempts: [{ startedAt: start, finishedAt: start + 1 }] }),
      })),
    }))
    assert.equal(await store.listRuns({ pageSize: 10 }), { runs: bare, hasMore: false })
  })

  register('a run is read without large values, which its jobs have', async ({ store }) => {
    const text = (length: number) => JSON.stringify('x'.repeat(length - 2))
    const run = runOf({ jobs: Array.from({ length: 5 }, () => jobOf({ maxAttempts: 2 })) })
    await store.accept(run, start)
    const { jobs: claims } = await store.claim(requestAt(start))
    const claimOf = (index: number) => claimOfJob(entryAt(claims, index))
    await store.complete(claimOf(0), text(1_000_000), start)
    await store.complete(claimOf(1), text(40_000), start)
    await store.complete(claimOf(2), text(10), start)
    const error: JobError = { ...taskError, stack: 's'.repeat(30_000) }
    await store.fail(claimOf(3), error, null, start)
    await store.complete(claimOf(4), text(1_000), start)
    const { jobs } = await runIn(store, run.id)
    assert.equal(
      jobs.map(({ result, omitted }) => omitted?.resultBytes ?? result?.length ?? null),
      [1_000_000, 40_000, 10, null, 1_000],
    )
    assert.equal(
      jobs.map(({ omitted }) => omitted !== undefined),
      [true, false, false, true, false],
    )
    assert.equal([jobs[3]?.error, jobs[3]?.failures], [taskError, []])
    const whole = await Promise.all(jobs.map(({ index }) => store.getJob(run.id, index)))
    assert.is(whole[0]?.result?.length, 1_000_000)
    assert.equal(whole[3]?.error, error)
    assert.is(whole[3]?.failures.length, 1)
    assert.equal(whole[4], jobs[4])
  })

  register('a page has no more runs than have a bounded number of jobs', async ({ store }) => {
    const wide = (jobs: number) => runOf({ respond: 'none', jobs: Array.from({ length: jobs }, () => jobOf()) })
    const runs = [1, 1, 2_000, 400, 3_000, 1].map(wide)
    for (const run of runs) await store.accept(run, start)
    const pages: number[] = []
    let beforeId: string | undefined
    for (;;) {
      const page = await store.listRuns({ pageSize: 500, ...(beforeId !== undefined && { beforeId }) })
      pages.push(page.runs.length)
      beforeId = page.runs.at(-1)?.id
      if (!page.hasMore) break
    }
    assert.equal(pages, [2, 4])
  })

  register('pages follow each other without a gap or a repetition, though runs are added', async ({ store }) => {
    assert.equal(await store.listRuns({ pageSize: 3 }), { runs: [], hasMore: false })
    const ids: string[] = []
    for (let index = 0; index < 9; index += 1) {
      const run = runOf()
      await store.accept(run, start)
      ids.unshift(run.id)
    }
    const first = await store.listRuns({ pageSize: 3 })
    await store.accept(runOf(), start)
    const second = await store.listRuns({ pageSize: 3, beforeId: entryAt(first.runs, 2).id })
    const third = await store.listRuns({ pageSize: 3, beforeId: entryAt(second.runs, 2).id })
    const pages = [first, second, third]
    assert.equal(
      pages.map(({ runs }) => runs.length),
      [3, 3, 3],
    )
    assert.equal(
      pages.flatMap(({ runs }) => runs.map(({ id }) => id)),
      ids,
    )
    assert.equal(
      pages.map(({ hasMore }) => hasMore),
      [true, true, false],
    )
    assert.equal(await store.listRuns({ pageSize: 3, beforeId: entryAt(third.runs, 2).id }), {
      runs: [],
      hasMore: false,
    })
  })

  register('each filter matches its runs, and several filters match runs that fit all', async ({ store }) => {
    const old = runOf({ id: runIdAt(start), tags: ['red'], jobs: [jobOf({ task: 'a' })] })
    const both = runOf({
      id: runIdAt(start + 10),
      tags: ['red', 'blue'],
      jobs: [jobOf({ task: 'b' }), jobOf({ task: 'a' }), jobOf({ task: 'a' })],
    })
    const young = runOf({ id: runIdAt(start + 20), tags: ['blue'], jobs: [jobOf({ task: 'b' })], claimsFirst: true })
    await store.complete(await acceptAndClaim(store, old, start), 'null', start)
    await store.accept(both, start + 10)
    const claim = await acceptFirst(store, young, start + 20)
    await store.fail(claim, taskError, null, start + 20)
    const names = new Map([
      [old.id, 'old'],
      [both.id, 'both'],
      [young.id, 'young'],
    ])
    const expected: [Omit<RunFilter, 'pageSize'>, string[]][] = [
      [{}, ['young', 'both', 'old']],
      [{ state: 'running' }, ['both']],
      [{ state: 'completed' }, ['old']],
      [{ state: 'failed' }, ['young']],
      [{ state: 'cancelled' }, []],
      [{ task: 'a' }, ['both', 'old']],
      [{ task: 'b' }, ['young', 'both']],
      [{ task: 'A' }, []],
      [{ tag: 'red' }, ['both', 'old']],
      [{ tag: 'blue' }, ['young', 'both']],
      [{ tag: 're' }, []],
      [{ createdAfter: start }, ['young', 'both']],
      [{ createdAfter: start + 20 }, []],
      [{ createdBefore: start + 20 }, ['both', 'old']],
      [{ createdBefore: start }, []],
      [{ createdAfter: start, createdBefore: start + 20 }, ['both']],
      [{ tag: 'red', task: 'a', state: 'running' }, ['both']],
      [{ tag: 'red', task: 'a', state: 'failed' }, []],
      [{ tag: 'red', beforeId: both.id }, ['old']],
    ]
    for (const [filter, wanted] of expected) {
      assert.equal(await namesIn(store, { ...filter, pageSize: 10 }, names), wanted, JSON.stringify(filter))
    }
    const page = await store.listRuns({ tag: 'red', pageSize: 1 })
    assert.equal([page.runs.length, page.hasMore], [1, true])
  })
}

async function namesIn(store: Store, filter: RunFilter, names: ReadonlyMap<string, string>) {
  const { runs } = await store.listRuns(filter)
  return runs.map(({ id }) => names.get(id))
}
