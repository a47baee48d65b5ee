/** Deliveries of several processes on one schema: each is taken once, and taken over from the dead. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClaimedDelivery } from '../../src/domain/run.ts'
import type { Store } from '../../src/store/store.ts'
import { lendSchema, silence } from '../harness/postgres.ts'
import { acceptFirst, entryAt, runIn, runOf, start, taskError } from '../harness/store-run.ts'
import { openPostgres, postgresStore } from '../harness/store-postgres.ts'
import { until } from '../harness/until.ts'

const quick = { leaseMs: 2_000, renewMs: 200, roundMs: 100 }

async function openPair() {
  const stack = new AsyncDisposableStack()
  const schema = stack.use(await lendSchema())
  const { store: one } = stack.use(postgresStore(schema, quick))
  const { store: other } = stack.use(postgresStore(schema, quick))
  await Promise.all([one.open(), other.open()])
  return { schema, one, other, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

async function endRuns(store: Store, count: number): Promise<void> {
  const webhook = 'https://hooks.example/'
  const jobs = Array.from({ length: count }, () => acceptFirst(store, runOf({ webhook, claimsFirst: true }), start))
  await Promise.all(jobs.map(async (job) => store.complete(await job, '1', start)))
}

const late = { receivers: [], limit: 0 }
const claim = async (store: Store, limit = 5): Promise<readonly ClaimedDelivery[]> =>
  (await store.claimDeliveries({ limit, perReceiver: limit, rooms: {}, late, after: '', at: start })).deliveries

test('each end makes a delivery, even if its run continues in the same transaction', async () => {
  await using schema = await lendSchema()
  await using scoped = await openPostgres(schema)
  const { store } = scoped
  const job = await acceptFirst(store, runOf({ webhook: 'https://hooks.example/', claimsFirst: true }), start)
  const { runId } = job
  await Promise.all([
    store.fail(job, taskError, null, start),
    store.retry(runId, 0, start),
    store.cancel(runId, 0, start),
  ])
  // Here it has ended before the transaction, too.
  await Promise.all([store.retry(runId, 0, start), store.cancel(runId, 0, start)])
  const outcomes = (await claim(store)).map(({ outcome }) => outcome)
  assert.equal(outcomes.toSorted(), ['cancelled', 'cancelled', 'failed'])
  assert.equal((await runIn(store, runId)).deliveries?.length, 3)
})

test('each delivery is taken by one process, though both claim at once', async () => {
  await using pair = await openPair()
  const { one, other } = pair
  await endRuns(one, 60)
  const taken: string[] = []
  await until('all are taken', async () => {
    const claims = await Promise.all([claim(one), claim(other), claim(one), claim(other)])
    taken.push(...claims.flat().map(({ runId }) => runId))
    return taken.length >= 60
  })
  assert.is(new Set(taken).size, 60)
  assert.equal([taken.length, await claim(one)], [60, []])
})

test('deliveries of a dead process are taken over, and its late outcomes are ignored', async () => {
  await using pair = await openPair()
  const { schema, one, other } = pair
  await endRuns(one, 1)
  const delivery = entryAt(await claim(one), 0)
  await other.releaseDeliveries([])
  assert.equal(await claim(other), [], 'its process is alive')
  const [row] = await schema.query<{ holder: number }>('SELECT holder FROM delivery')
  await silence(schema, row?.holder ?? 0)
  const taken = await until('it is taken over', async () => {
    await other.releaseDeliveries([])
    return (await claim(other))[0]
  })
  assert.equal(taken, delivery)
  await one.endDeliveryTry(delivery, { state: 'delivered', lastStatus: 200, nextAt: null })
  assert.is((await runIn(other, delivery.runId)).deliveries?.[0]?.state, 'pending')
  await other.endDeliveryTry(taken, { state: 'delivered', lastStatus: 200, nextAt: null })
  assert.is((await runIn(one, delivery.runId)).deliveries?.[0]?.state, 'delivered')
})

test.run()
