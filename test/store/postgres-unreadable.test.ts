/** An unreadable record, of a newer version or a damaged one, does not stop other runs. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, type Schema } from '../harness/postgres.ts'
import { rejects } from '../harness/rejects.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptFirst, jobIn, jobOf, requestAt, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

const ofNewerFormat = "'[9' || substr(record, 3)"
const damaged = "substr(record, 1, 40) || '{'"

async function spoil({ query }: Schema, ids: readonly string[], how: string): Promise<void> {
  await query(`UPDATE record SET record = ${how}, revision = revision + 1 WHERE id = ANY($1::uuid[])`, [ids])
}

/** Reads all pages, one after another. */
async function listAll(store: Store, pageSize: number): Promise<string[]> {
  const ids: string[] = []
  for (;;) {
    const beforeId = ids.at(-1)
    const { runs, hasMore } = await store.listRuns({ pageSize, ...(beforeId !== undefined && { beforeId }) })
    ids.push(...runs.map(({ id }) => id))
    if (!hasMore) return ids
    assert.ok(runs.length > 0, 'a page that is followed by another one names a run')
  }
}

for (const [what, how] of Object.entries({ 'of a newer format': ofNewerFormat, 'that is damaged': damaged })) {
  test(`a record ${what} keeps no other run from starting, being listed, settled, taken over and forgotten`, async () => {
    await using schema = await lendSchema()
    await using opened = await openPostgres(schema, { roundMs: 3_600_000 })
    const { store } = opened
    const [waiting, held, finished, lost] = [
      runOf({ jobs: [jobOf(), jobOf(), jobOf()] }),
      runOf({ claimsFirst: true }),
      runOf({ claimsFirst: true }),
      runOf({ claimsFirst: true }),
    ] as const
    await store.accept(waiting, start)
    const heldJob = await acceptFirst(store, held, start)
    await store.complete(await acceptFirst(store, finished, start), '1', start)
    const [done, mine, dead] = [
      runOf({ claimsFirst: true }),
      runOf({ claimsFirst: true }),
      runOf({ claimsFirst: true }),
    ]
    await store.complete(await acceptFirst(store, done, start), '1', start)
    const own = await acceptFirst(store, mine, start)
    {
      await using dying = await openPostgres(schema, { roundMs: 3_600_000 })
      for (const run of [lost, dead]) await acceptFirst(dying.store, run, start)
    }
    const bad = [waiting.id, held.id, finished.id, lost.id]
    await spoil(schema, bad, how)

    await rejects(store.getRun(held.id), 'internal')
    await rejects(store.cancel(waiting.id, null, start), 'internal')
    const settled = await Promise.allSettled([store.complete(heldJob, '1', start), store.complete(own, '2', start + 1)])
    assert.equal(
      settled.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    )
    for (const pageSize of [1, 2, 10]) {
      assert.equal((await listAll(store, pageSize)).toSorted(), [done.id, mine.id, dead.id].toSorted())
    }
    assert.equal(await store.rescue(start), { requeued: 1, crashed: 0, suspects: 0 })

    // One slot is not taken by what cannot be run, and there is no end of asking for it.
    const slots = [{ thread: 'w', kind: 'io', count: 1 }] as const
    const asked = requestAt(start + 1, { slots })
    const claim = await until('the job that was taken back is claimed', async () => (await store.claim(asked)).jobs[0])
    assert.is(claim.runId, dead.id)
    assert.equal(await store.claim(asked), { jobs: [], nextDueAt: null })
    assert.is(await store.leave(start + 1), 1)
    assert.is(await store.complete(claim, '3', start + 2), 'settled')

    assert.is(await store.prune(start + 2, 1, start), 1)
    assert.equal((await listAll(store, 5)).toSorted(), [mine.id, dead.id].toSorted())
    assert.is((await store.stats(start)).conservation.lost, 0)
  })
}

test('a suspect whose record cannot be read does not block others', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, { roundMs: 3_600_000 })
  const { store } = opened
  const [bad, good] = [runOf(), runOf()]
  for (const run of [bad, good]) await store.accept(run, start)
  await schema.query('UPDATE queue SET lost = 2')
  await spoil(schema, [bad.id], damaged)
  const asked = requestAt(start, { only: 'suspects' })
  assert.is((await until('it is claimed', async () => (await store.claim(asked)).jobs[0])).runId, good.id)
})

test('a lost claim ends its attempt; one whose record cannot be read continues', async () => {
  await using schema = await lendSchema()
  await using opened = await openPostgres(schema, { roundMs: 20 })
  const { store } = opened
  const [unread, lost, gone] = [
    runOf({ claimsFirst: true }),
    runOf({ claimsFirst: true }),
    runOf({ claimsFirst: true }),
  ]
  for (const run of [unread, lost, gone]) await acceptFirst(store, run, start)
  const voided = new Set<string>()
  store.onChange((change) => change.voided.forEach(({ runId }) => voided.add(runId)))
  await spoil(schema, [unread.id], damaged)
  // As another process takes one back and forgets the other, without a word to this one.
  await schema.query('DELETE FROM holder WHERE run = ANY($1::uuid[])', [[lost.id, gone.id]])
  await schema.query('DELETE FROM record WHERE id = $1', [gone.id])
  await until('whoever runs them is told to stop', () => voided.has(lost.id) && voided.has(gone.id))
  assert.not(voided.has(unread.id))
  assert.is(store.notifier?.lostClaims(), 2)
  assert.is((await jobIn(store, lost.id)).state, 'running')
})

test.run()
