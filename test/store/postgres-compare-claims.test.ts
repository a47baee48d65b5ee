/** The claims of a process in the database are compared with its own ones while it claims more. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunChange } from '../../src/domain/run.ts'
import { startPostgresProxy } from '../harness/postgres-proxy.ts'
import { lendSchema } from '../harness/postgres.ts'
import { openPostgres } from '../harness/store-postgres.ts'
import { acceptAndClaim, acceptFirst, jobIn, runOf, start } from '../harness/store-run.ts'
import { until } from '../harness/until.ts'

test('claims that are made during the comparison stay valid', async () => {
  await using schema = await lendSchema()
  await using proxy = await startPostgresProxy(schema.url)
  await using opened = await openPostgres({ ...schema, url: proxy.url }, { roundMs: 20 })
  const { store } = opened
  const changes: RunChange[] = []
  store.onChange((change) => void changes.push(change))
  const early = await acceptAndClaim(store, runOf(), start)
  let comparisons = 0
  let isHeld = false
  proxy.judge((bytes) => {
    if (bytes.includes('select-held')) comparisons += 1
    if (!bytes.includes('write changed holders_removed')) return 'pass'
    isHeld = true
    return 'hold'
  })
  const completed = store.complete(early, '1', start)
  await until('an outcome is on its way', () => isHeld)
  const before = comparisons
  // The comparison waits for the outcome that is on its way.
  await until('the owned jobs were read', () => comparisons > before)
  const late = [
    await acceptFirst(store, runOf({ claimsFirst: true }), start),
    await acceptAndClaim(store, runOf(), start),
  ]
  proxy.judge((bytes) => {
    if (bytes.includes('select-held')) comparisons += 1
    return 'pass'
  })
  proxy.letGo()
  assert.is(await completed, 'settled')
  await until('the comparison is over, and another one', () => comparisons > before + 2)
  assert.equal(
    changes.flatMap(({ voided }) => voided),
    [],
  )
  assert.is(store.notifier?.lostClaims(), 0)
  for (const claim of late) {
    assert.is((await jobIn(store, claim.runId)).state, 'running')
    assert.is(await store.complete(claim, '1', start), 'settled')
  }
})

test.run()
