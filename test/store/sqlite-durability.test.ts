/** What was acknowledged is in the file: after a close, and after a kill at any instant. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startStoreProcess } from '../harness/store-process.ts'
import { acceptAndClaim, claimOne, entryAt, jobOf, requestAt, runOf, start, taskError } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

test('reopening keeps every run, job, answer, total and delay', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const everything = async ({ store }: Awaited<ReturnType<typeof openSqlite>>) => {
    const { runs } = await store.listRuns({ pageSize: 100 })
    return [await Promise.all(runs.map(({ id }) => store.getRun(id))), await store.stats(start), store.backlog()]
  }
  let before: unknown
  {
    await using opened = await openSqlite(path)
    const { store } = opened
    await store.complete(await acceptAndClaim(store, runOf({ tags: ['t'] }), start), '{"a":"é"}', start + 1)
    await store.fail(await acceptAndClaim(store, runOf({ respond: 'race' }), start), taskError, null, start + 1)
    await store.fail(await acceptAndClaim(store, runOf(), start), taskError, start + 700, start + 1)
    await store.accept(runOf({ jobs: [jobOf({ input: '[1]' }), jobOf({ priority: 9 })], claimsFirst: true }), start)
    await store.accept(runOf({ jobs: [jobOf({ task: 'late', delayMs: 900 })] }), start)
    before = await everything(opened)
  }
  await using reopened = await openSqlite(path)
  assert.equal(await everything(reopened), before)
  const { jobs, nextDueAt } = await reopened.store.claim(requestAt(start))
  assert.equal([jobs.length, nextDueAt], [1, start + 700])
  assert.is((await claimOne(reopened.store, start + 700)).attempt, 2)
  assert.is((await claimOne(reopened.store, start + 900)).task, 'late')
})

test('a process that is killed while it writes loses nothing that it acknowledged, and no part of a run', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  await using other = await startStoreProcess(path)
  const acknowledged = new Set<string>()
  const completed = new Set<string>()
  const enough = Promise.withResolvers<void>()

  async function work(): Promise<void> {
    for (;;) {
      const run = runOf({ claimsFirst: true, jobs: [jobOf(), jobOf(), jobOf()] })
      const report = await other.call('accept', run, start)
      acknowledged.add(run.id)
      if (report.result !== 'accepted' || report.first === null) throw new Error('job 0 is not claimed')
      await other.call('complete', report.first, '"done"', start)
      completed.add(run.id)
      if (completed.size === 60) enough.resolve()
    }
  }

  const workers = Array.from({ length: 8 }, () => work().catch(() => {}))
  await enough.promise
  await other.kill()
  await Promise.all(workers)

  await using reopened = await openSqlite(path, 20_000)
  const { runs } = await reopened.store.listRuns({ pageSize: 100_000 })
  const kept = new Map(runs.map((run) => [run.id, run]))
  for (const id of acknowledged) assert.ok(kept.has(id), 'an acknowledged run is there')
  for (const id of completed) assert.is(kept.get(id)?.answer?.status, 200)
  for (const run of runs) assert.equal([run.jobs.length, entryAt(run.jobs, 0).task], [3, 'echo'])
  const { conservation } = await reopened.store.stats(start)
  assert.equal([conservation.accepted, conservation.lost], [runs.length * 3, 0])
})

test.run()
