/** A record that cannot be read, because a newer version wrote it or the file is damaged, stops nothing else. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { rejects } from '../harness/rejects.ts'
import { acceptFirst, entryAt, jobOf, requestAt, runIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite, temporaryDirectory } from '../harness/store-sqlite.ts'

const ofNewerFormat = "'[9' || substr(record, 3)"
const damaged = "substr(record, 1, 40) || '{'"

function spoil(path: string, ids: readonly string[], how: string): void {
  using database = new DatabaseSync(path)
  const update = database.prepare(`UPDATE record SET record = ${how} WHERE hex(id) = ?`)
  for (const id of ids) assert.is(update.run(id.replaceAll('-', '').toUpperCase()).changes, 1)
}

/** All pages, as a client goes through them. */
async function listAll(store: Store, pageSize: number): Promise<string[]> {
  const ids: string[] = []
  for (;;) {
    const { runs, hasMore } = await store.listRuns({
      pageSize,
      ...(ids.length > 0 && { beforeId: entryAt(ids, -1 + ids.length) }),
    })
    ids.push(...runs.map(({ id }) => id))
    if (!hasMore) return ids
    assert.ok(runs.length > 0, 'a page that is followed by another one names a run')
  }
}

for (const [what, how] of Object.entries({ 'of a newer format': ofNewerFormat, 'that is damaged': damaged })) {
  test(`a record ${what} does not stop other runs from being started, listed, settled and removed`, async () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'runs.db')
    const [waiting, held, finished, late] = [
      runOf({ jobs: [jobOf(), jobOf(), jobOf()] }),
      runOf({ claimsFirst: true, jobs: [jobOf(), jobOf({ delayMs: 500 })] }),
      runOf({ claimsFirst: true }),
      runOf({ claimsFirst: true, jobs: [jobOf(), jobOf({ delayMs: 500 })] }),
    ] as const
    const done = runOf({ claimsFirst: true })
    const other = runOf({ jobs: [jobOf(), jobOf()] })
    const bad = [waiting.id, held.id, finished.id, late.id]
    {
      await using opened = await openSqlite(path)
      const { store } = opened
      await store.accept(waiting, start)
      await acceptFirst(store, held, start)
      await store.complete(await acceptFirst(store, finished, start), '1', start)
      await store.complete(await acceptFirst(store, done, start), '1', start)
      await acceptFirst(store, late, start)
      await store.accept(other, start)
    }
    spoil(path, bad, how)
    await using opened = await openSqlite(path)
    const { store } = opened
    await store.rescue(start)
    await rejects(store.getRun(held.id), 'internal')
    await rejects(store.cancel(waiting.id, null, start), 'internal')
    assert.equal((await listAll(store, 1)).toSorted(), [done.id, other.id].toSorted())
    // One slot is not taken by what cannot be run.
    const slots = [{ thread: 'w', kind: 'io', count: 1 }] as const
    const { jobs } = await store.claim(requestAt(start + 1, { slots }))
    assert.equal(
      jobs.map(({ runId, jobIndex }) => [runId, jobIndex]),
      [[other.id, 0]],
    )
    assert.is((await store.claim(requestAt(start + 1_000))).jobs.length, 1)
    assert.is(await store.leave(start + 1_000), 2)
    await store.shiftDueTimes(10)
    for (const job of jobs) assert.is(await store.complete(job, '2', start + 1_001), 'settled')
    assert.is(entryAt((await runIn(store, other.id)).jobs, 0).result, '2')
    await store.prune(start + 2_000, 1, start)
    await store.prune(start + 2_000, 1, start)
    assert.equal(await listAll(store, 5), [other.id])
    assert.is((await store.stats(start)).conservation.lost, 0)
  })
}

test('records that cannot be read widen the bound of no removal and no expiry', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const [held, waiting, finished] = [runOf({ claimsFirst: true }), runOf(), runOf({ claimsFirst: true })]
  const bad = [held, waiting, finished]
  {
    await using opened = await openSqlite(path)
    const { store } = opened
    for (const run of [held, waiting]) await store.accept(run, start)
    await store.complete(await acceptFirst(store, finished, start), '1', start - 1)
    for (let ended = 0; ended < 2; ended += 1) {
      await store.complete(await acceptFirst(store, runOf({ claimsFirst: true }), start), '1', start)
    }
    for (let run = 0; run < 201; run += 1) await store.accept(runOf({ jobs: [jobOf({ expiresMs: 1 })] }), start)
  }
  spoil(
    path,
    bad.map(({ id }) => id),
    damaged,
  )
  await using opened = await openSqlite(path)
  const { store } = opened
  await store.rescue(start)
  assert.equal([await store.prune(start + 1, 1, start), await store.prune(start + 1, 1, start)], [1, 1])
  // The claim finds the damaged record, and the jobs of the others have expired.
  assert.equal((await store.claim(requestAt(start + 1))).jobs, [])
  assert.equal([await store.expire(start + 1), await store.expire(start + 1)], [200, 1])
})

test('the webhook of a run that cannot be read is released and its try ends, so that others are sent', async () => {
  using directory = temporaryDirectory()
  const path = join(directory.path, 'runs.db')
  const run = runOf({ claimsFirst: true, webhook: 'https://hooks.example/runs' })
  {
    await using opened = await openSqlite(path)
    await opened.store.complete(await acceptFirst(opened.store, run, start), '1', start)
  }
  spoil(path, [run.id], damaged)
  await using opened = await openSqlite(path)
  const { store } = opened
  const late = { receivers: [], limit: 0 }
  const claim = async (at: number) =>
    (await store.claimDeliveries({ limit: 9, perReceiver: 9, rooms: {}, late, after: '', at })).deliveries
  const delivery = entryAt(await claim(start), 0)
  await store.releaseDeliveries([delivery])
  assert.equal(await claim(start), [], 'it is kept')
  await store.endDeliveryTry(delivery, { state: 'pending', lastStatus: null, nextAt: start + 10 })
  assert.equal(await claim(start), [])
  assert.equal(
    (await claim(start + 10)).map(({ runId, attempts }) => [runId, attempts]),
    [[run.id, 1]],
  )
})

test.run()
