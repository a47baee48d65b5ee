/** What the engine keeps in memory of unfinished runs is what its file says. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClaimedJob } from '../../src/domain/claim.ts'
import { acceptFirst, entryAt, jobOf, requestAt, runIn, runOf, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

test('a run that is under way reads the same from memory and from the file, whatever has happened to its jobs', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const run = runOf({ claimsFirst: true, tags: ['a', 'b'], jobs: Array.from({ length: 7 }, () => jobOf()) })
  const opened = await openSqlite(path)
  const first = await acceptFirst(opened.store, run, start)
  const { jobs } = await opened.store.claim(requestAt(start + 1))
  const claimOf = (index: number): ClaimedJob => entryAt(jobs, index - 1)
  await Promise.all([
    opened.store.complete(first, '"one"', start + 2),
    opened.store.fail(claimOf(1), taskError, start + 500, start + 2),
    opened.store.fail(claimOf(2), taskError, null, start + 3),
    opened.store.release(claimOf(3), start + 4),
    opened.store.cancel(run.id, 4, start + 5),
    opened.store.complete(claimOf(5), '"two"', start + 6),
  ])
  const fromMemory = await runIn(opened.store, run.id)
  assert.equal(
    fromMemory.jobs.map(({ state }) => state),
    ['completed', 'retrying', 'failed', 'queued', 'cancelled', 'completed', 'running'],
  )
  await opened.store.close()
  await using reopened = await openSqlite(path)
  assert.equal(await runIn(reopened.store, run.id), fromMemory)
})

test('runs that memory has no room for are settled and read all the same', async () => {
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

test('a run that is kept in memory and changed in a commit that fails is read as it was before', async () => {
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

test.run()
