/** Deliveries of webhooks: one for each end of a run that has one, taken by one process, and kept until they are over. */
import * as assert from 'uvu/assert'
import type { DeliveryRecord } from '../../../src/domain/webhook.ts'
import type { ClaimedDelivery } from '../../../src/domain/run.ts'
import type { DeliveryRequest } from '../../../src/store/claim-requests.ts'
import type { Store } from '../../../src/store/store.ts'
import {
  acceptAndClaim,
  acceptFirst,
  claimOne,
  entryAt,
  jobOf,
  runIn,
  runOf,
  start,
  taskError,
} from '../../harness/store-run.ts'
import type { Register } from './subject.ts'

const webhook = 'https://user:secret@hooks.example/runs?of=mine'
const receiver = 'https://hooks.example'

function request(at: number, members: Partial<DeliveryRequest> = {}): DeliveryRequest {
  return { limit: 100, perReceiver: 100, rooms: {}, late: { receivers: [], limit: 0 }, after: '', at, ...members }
}

async function claimed(store: Store, at: number, members: Partial<DeliveryRequest> = {}) {
  return (await store.claimDeliveries(request(at, members))).deliveries
}

async function deliveriesOf(store: Store, id: string): Promise<readonly DeliveryRecord[]> {
  return (await runIn(store, id)).deliveries ?? []
}

/** Accepts a run that fails. */
async function endRun(store: Store, at: number, url = webhook): Promise<string> {
  const job = await acceptAndClaim(store, runOf({ webhook: url }), at)
  await store.fail(job, taskError, null, at)
  return job.runId
}

async function endAndTake(store: Store, at: number): Promise<ClaimedDelivery> {
  await endRun(store, at)
  return entryAt(await claimed(store, at), 0)
}

const waits = { state: 'pending', lastStatus: 503 } as const
const delivered = { state: 'delivered', lastStatus: 204, nextAt: null } as const
const failed = { state: 'failed', lastStatus: 410, nextAt: null } as const

export function deliveriesContract(register: Register): void {
  register('deliveries: the end of a run with a webhook makes one, which is due at once', async ({ store }) => {
    const run = runOf({ webhook })
    await store.accept(run, start)
    assert.equal((await runIn(store, run.id)).webhook, webhook)
    assert.equal(await deliveriesOf(store, run.id), [])
    const job = await claimOne(store, start)
    assert.equal(await claimed(store, start + 1_000), [])
    await store.complete(job, '1', start + 5)
    const { version } = await runIn(store, run.id)
    const pending = { version, state: 'pending', attempts: 0, lastStatus: null, nextAt: start + 5 }
    assert.equal(await deliveriesOf(store, run.id), [pending])
    const taken = { runId: run.id, version, receiver, outcome: 'completed', endedAt: start + 5, attempts: 0 }
    assert.equal(await claimed(store, start + 5), [taken])
    assert.equal(await claimed(store, start + 5), [], 'it is taken once')
  })

  register('deliveries: a run without a webhook has none, and does not say that it could have', async ({ store }) => {
    const job = await acceptAndClaim(store, runOf(), start)
    await store.complete(job, '1', start)
    const run = await runIn(store, job.runId)
    assert.not.ok('deliveries' in run || 'webhook' in run)
    assert.equal(await claimed(store, start), [])
  })

  register('deliveries: every way in which a run ends makes one', async ({ store, replace }) => {
    const ends: string[] = []
    const accepted = async (members: Parameters<typeof runOf>[0] = {}): Promise<string> => {
      const run = runOf({ webhook, ...members })
      ends.push(run.id)
      await store.accept(run, start)
      return run.id
    }
    await accepted()
    await store.complete(await claimOne(store, start), '1', start)
    await accepted()
    await store.fail(await claimOne(store, start), taskError, null, start)
    await store.cancel(await accepted(), null, start)
    await accepted()
    await store.cancel((await claimOne(store, start)).runId, 0, start)
    await accepted({ jobs: [jobOf({ expiresMs: 1 })] })
    await store.expire(start + 1)
    await accepted({ jobs: [jobOf(), jobOf({ after: [0] }), jobOf({ after: [1] })], onFirstFailure: 'cancel' })
    await store.fail(await claimOne(store, start), taskError, null, start)
    const crashed = await accepted({ jobs: [jobOf({ maxAttempts: 1 })] })
    let next = store
    for (let starts = 0; starts < 3; starts += 1) {
      await claimOne(next, start, starts === 2 ? { only: 'suspects' } : {})
      next = await replace()
      await next.rescue(start)
    }
    assert.is((await runIn(next, crashed)).state, 'failed')
    for (const id of ends) assert.is((await deliveriesOf(next, id)).length, 1, id)
    assert.equal(new Set((await claimed(next, start + 1)).map(({ runId }) => runId)), new Set(ends))
  })

  register('deliveries: a run that is retried and ends again makes another one', async ({ store }) => {
    const id = await endRun(store, start)
    await Promise.all([store.retry(id, 0, start), store.cancel(id, null, start)])
    const made = await deliveriesOf(store, id)
    assert.is(made.length, 2)
    assert.equal(
      (await claimed(store, start)).map(({ version, outcome }) => [version, outcome]),
      [
        [made[0]?.version, 'failed'],
        [made[1]?.version, 'cancelled'],
      ],
    )
  })

  register('deliveries: a change that makes one says so', async ({ store }) => {
    const due: boolean[] = []
    store.onChange(({ isDeliveryDue = false }) => due.push(isDeliveryDue))
    const id = await endRun(store, start)
    await store.retry(id, 0, start)
    assert.equal(due, [false, true, false])
  })

  register('deliveries: one that was not taken waits for its next try', async ({ store }) => {
    const delivery = await endAndTake(store, start)
    await store.endDeliveryTry(delivery, { ...waits, nextAt: start + 50 })
    const [known] = await deliveriesOf(store, delivery.runId)
    assert.equal([known?.attempts, known?.lastStatus, known?.nextAt], [1, 503, start + 50])
    assert.equal(await store.claimDeliveries(request(start + 49)), {
      deliveries: [],
      nextDueAt: start + 50,
      after: null,
    })
    assert.equal(await claimed(store, start + 50), [{ ...delivery, attempts: 1 }])
  })

  register('deliveries: one that is over is not sent again', async ({ store }) => {
    for (const over of [delivered, failed]) {
      const delivery = await endAndTake(store, start)
      await store.endDeliveryTry(delivery, over)
      const [known] = await deliveriesOf(store, delivery.runId)
      assert.equal([known?.state, known?.attempts, known?.lastStatus], [over.state, 1, over.lastStatus])
    }
    assert.equal(await store.claimDeliveries(request(start + 1e9)), { deliveries: [], nextDueAt: null, after: null })
  })

  register('deliveries: the longest due come first, within the room for each receiver', async ({ store }) => {
    const ids: string[] = []
    for (const [nth, host] of ['a', 'a', 'a', 'b', 'c', 'c'].entries()) {
      ids.push(await endRun(store, start + nth, `https://${host}.example/`))
    }
    const places = (deliveries: readonly ClaimedDelivery[]) => deliveries.map(({ runId }) => ids.indexOf(runId))
    const rooms = { 'https://c.example': 0 }
    const first = await store.claimDeliveries(request(start + 9, { perReceiver: 2, rooms }))
    assert.equal(places(first.deliveries), [0, 1, 3])
    const late = { receivers: ['https://a.example', 'https://b.example'], limit: 0 }
    assert.equal(places(await claimed(store, start + 9, { limit: 1, late })), [4])
    assert.equal(places(await claimed(store, start + 9, { limit: 1, late: { ...late, limit: 1 } })), [2])
    assert.equal(places(await claimed(store, start + 9)), [5])
  })

  register(
    'deliveries: of many receivers a claim looks at some, and the next one goes on after them',
    async ({ store }) => {
      const hosts = Array.from({ length: 210 }, (_, nth) => `https://r${String(nth).padStart(3, '0')}.example`)
      const jobs = hosts.map((host) => acceptFirst(store, runOf({ webhook: `${host}/`, claimsFirst: true }), start))
      await Promise.all(jobs.map(async (job) => store.complete(await job, '1', start)))
      const first = await store.claimDeliveries(request(start, { limit: 1_000 }))
      assert.is(first.after, hosts[199])
      const [named] = await claimed(store, start, { among: ['https://none.example', 'https://r205.example'] })
      assert.is(named?.receiver, 'https://r205.example')
      const { deliveries, after } = await store.claimDeliveries(
        request(start, { limit: 1_000, after: first.after ?? '' }),
      )
      assert.is(after, null)
      const all = [...first.deliveries, named, ...deliveries]
      assert.equal(all.map((delivery) => delivery?.receiver ?? '').toSorted(), hosts)
    },
  )

  register(
    'deliveries: what nobody sends is handed back, and the late end of its try counts not',
    async ({ store }) => {
      const [one, other] = [await endAndTake(store, start), await endAndTake(store, start)]
      await store.releaseDeliveries([other])
      assert.equal(await claimed(store, start), [one])
      await store.endDeliveryTry(one, { ...waits, nextAt: start })
      assert.equal(await claimed(store, start), [{ ...one, attempts: 1 }])
      await store.endDeliveryTry(one, delivered)
      assert.is((await deliveriesOf(store, one.runId))[0]?.state, 'pending', 'that try has ended before')
    },
  )

  register('deliveries: the next process sends the deliveries of a dead one', async ({ store, replace }) => {
    const delivery = await endAndTake(store, start)
    const next = await replace()
    await next.releaseDeliveries([])
    assert.equal(await claimed(next, start), [delivery])
  })

  register('deliveries: a requested retry makes one due at once, with all its tries', async ({ store }) => {
    const delivery = await endAndTake(store, start)
    const { runId, version } = delivery
    assert.is(await store.retryDelivery(runId, version, start + 1), true)
    assert.equal(await claimed(store, start + 1), [], 'it is being sent')
    await store.endDeliveryTry(delivery, { ...waits, nextAt: start + 1_000 })
    await store.retryDelivery(runId, version, start + 2)
    assert.equal(await claimed(store, start + 2), [{ ...delivery, attempts: 1 }], 'tries that have ended count')
    await store.endDeliveryTry({ ...delivery, attempts: 1 }, failed)
    await store.retryDelivery(runId, version, start + 3)
    const [known] = await deliveriesOf(store, runId)
    assert.equal([known?.state, known?.attempts, known?.nextAt], ['pending', 0, start + 3])
    assert.equal(await claimed(store, start + 3), [delivery])
    for (const [id, wrong] of [
      [runId, version + 1],
      [runOf().id, version],
    ] as const) {
      assert.is(await store.retryDelivery(id, wrong, start), false)
    }
  })

  register('deliveries: one of a clock that was an hour ahead waits no longer than it is to wait', async (subject) => {
    const { store } = subject
    const ahead = start + 3_600_000
    const delivery = await endAndTake(store, ahead)
    await store.endDeliveryTry(delivery, { ...waits, nextAt: ahead + 5_000 })
    const held = await endAndTake(store, ahead)
    const fresh = await endRun(store, ahead)
    const next = await subject.replace()
    await next.rescue(start)
    await next.releaseDeliveries([])
    await next.rescue(start)
    const due = await claimed(next, start + 1_000)
    assert.ok(due.some(({ runId }) => runId === fresh))
    const later = await claimed(next, start + 5_500)
    assert.equal(new Set([...due, ...later].map(({ runId }) => runId)), new Set([delivery.runId, held.runId, fresh]))
  })

  register('deliveries: a removed run takes its own along', async ({ store }) => {
    const delivery = await endAndTake(store, start)
    const id = await endRun(store, start)
    for (const runId of [delivery.runId, id]) assert.is(await store.remove(runId), 'removed')
    await store.endDeliveryTry(delivery, delivered)
    assert.equal(await store.claimDeliveries(request(start + 1e9)), { deliveries: [], nextDueAt: null, after: null })
  })

  register('deliveries: a run with a pending one is kept, unless no process sends it', async ({ store }) => {
    const delivery = await endAndTake(store, start)
    const other = await endRun(store, start)
    const dayMs = 86_400_000
    assert.is(await store.prune(start + 1, 100, start + 1), 0)
    await store.endDeliveryTry(delivery, delivered)
    assert.is(await store.prune(start + 1, 100, start + 1), 1)
    assert.is(await store.getRun(delivery.runId), null)
    assert.is(await store.prune(start + dayMs, 100, start + dayMs), 1)
    assert.is(await store.getRun(other), null)
  })
}
