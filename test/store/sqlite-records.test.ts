/** Unfinished runs in memory are as in the file. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../src/domain/claim.ts'
import { acceptFirst, entryAt, jobOf, requestAt, runIn, runOf, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

// Of a run of more than 16 jobs only those that run are kept.
for (const size of [7, 30]) {
  test(`a run of ${size} jobs reads the same from memory and from the file, whatever happened to them`, async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'runs.db')
    const run = runOf({ claimsFirst: true, tags: ['a', 'b'], jobs: Array.from({ length: size }, () => jobOf()) })
    const opened = await openSqlite(path)
    const { store } = opened
    const first = await acceptFirst(store, run, start)
    const { jobs } = await store.claim(requestAt(start + 1))
    const claimOf = (index: number): ClaimedJob => entryAt(jobs, index - 1)
    await Promise.all([
      store.complete(first, '"one"', start + 2),
      store.fail(claimOf(1), taskError, start + 500, start + 2),
      store.fail(claimOf(2), taskError, null, start + 3),
      store.release(claimOf(3), start + 4),
      store.cancel(run.id, 4, start + 5),
      store.complete(claimOf(5), '"two"', start + 6),
    ])
    const before = await runIn(store, run.id)
    assert.equal(
      before.jobs.slice(0, 7).map(({ state }) => state),
      ['completed', 'retrying', 'failed', 'queued', 'cancelled', 'completed', 'running'],
    )
    // Claimed anew, a job is settled by its new claim alone.
    await store.retry(run.id, 4, start + 7)
    const again = await store.claim(requestAt(start + 600))
    const retried = again.jobs.find(({ jobIndex }) => jobIndex === 4)
    assert.is(await store.complete(claimOf(4), '"old"', start + 601), 'stale')
    assert.is(retried && (await store.complete(retried, '"new"', start + 602)), 'settled')
    const failing = again.jobs.find(({ jobIndex }) => jobIndex === 1)
    assert.is(failing && (await store.fail(failing, taskError, null, start + 603)), 'settled')
    const fromMemory = await runIn(store, run.id)
    assert.is(entryAt(fromMemory.jobs, 1).failures.length, 2)
    assert.is(entryAt(fromMemory.jobs, 4).result, '"new"')
    await opened.store.close()
    await using reopened = await openSqlite(path)
    assert.equal(await runIn(reopened.store, run.id), fromMemory)
    assert.equal((await reopened.store.stats(start)).conservation.lost, 0)
  })
}

test('runs that do not fit in memory are settled and read like any other', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const large = '"'.padEnd(10_000, 'x').concat('"')
  const runs = [
    runOf({ claimsFirst: true }),
    runOf({ claimsFirst: true, jobs: [jobOf(), jobOf({ delayMs: 1_000 })] }),
    runOf({ claimsFirst: true, jobs: Array.from({ length: 20 }, () => jobOf({ delayMs: 1_000 })) }),
  ] as const
  const [oldest, withLargeResult, withManyJobs] = await Promise.all(runs.map((run) => acceptFirst(store, run, start)))
  // As many as it keeps.
  await Promise.all(
    Array.from({ length: 4_096 }, () => store.accept(runOf({ jobs: [jobOf({ delayMs: 1_000 })] }), start)),
  )
  const claims = [oldest, withLargeResult, withManyJobs].filter((claim) => claim !== undefined)
  assert.equal(await Promise.all(claims.map((claim) => store.complete(claim, large, start + 1))), [
    'settled',
    'settled',
    'settled',
  ])
  for (const { id, jobs } of runs) {
    const { version, state, jobs: read } = await runIn(store, id)
    assert.is(version, 2)
    assert.is(state, jobs.length === 1 ? 'completed' : 'running')
    assert.is(entryAt(read, 0).result, large)
  }
  assert.equal((await store.stats(start)).conservation.lost, 0)
})

test('a failed commit leaves a run in memory as it was', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const run = runOf({ claimsFirst: true })
  const claim = await acceptFirst(store, run, start)
  const again = store.accept(run, start)
  const settled = store.complete(claim, '"done"', start + 1)
  await again.then(
    () => assert.unreachable('the same id was accepted twice'),
    () => {},
  )
  assert.is(await settled, 'settled')
  const { version, state } = await runIn(store, run.id)
  assert.equal({ version, state }, { version: 2, state: 'completed' })
})

test('one commit removes only a few runs with large results', async () => {
  await using opened = await openSqlite(':memory:')
  const { store } = opened
  const large = JSON.stringify('x'.repeat(17 * 2 ** 20))
  for (let run = 0; run < 3; run += 1) {
    await store.complete(await acceptFirst(store, runOf({ claimsFirst: true }), start), large, start)
  }
  const pruned: number[] = []
  for (let round = 0; round < 4; round += 1) pruned.push(await store.prune(start + 1, 200, start))
  assert.equal(pruned, [1, 1, 1, 0])
})

test.run()
