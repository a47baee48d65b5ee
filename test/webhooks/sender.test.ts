/** When deliveries are sent, how often, and how many at once: on a real store, with a clock of the test's own. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import type { DeliveryRecord } from '../../src/domain/webhook.ts'
import { createLog } from '../../src/log.ts'
import type { Store } from '../../src/store/store.ts'
import { createTestClock } from '../../src/testing/inline-pool.ts'
import type { PostResult, Message } from '../../src/webhooks/post.ts'
import { createWebhookSender } from '../../src/webhooks/sender.ts'
import { verify, webhookSecret } from '../harness/receiver.ts'
import { acceptFirst, entryAt, runIn, runOf, start } from '../harness/store-run.ts'
import { openSqlite } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

interface Try {
  readonly url: string
  readonly message: Message
  /** Ends it. */
  answer(status: number | null): void
}

interface Sending extends AsyncDisposable {
  readonly store: Store
  readonly clock: ReturnType<typeof createTestClock>
  readonly sender: ReturnType<typeof createWebhookSender>
  /** Those under way, in order. */
  readonly tries: Try[]
  readonly outcomes: string[]
  givenUp(): number
  /** Makes a delivery due. */
  end(url?: string): Promise<string>
  nextTry(): Promise<Try>
  deliveryOf(id: string): Promise<DeliveryRecord>
}

const hook = 'https://hooks.example/runs'
const none = { receivers: [], limit: 0 }

async function startSending({
  secrets = [webhookSecret],
  random = 0.5,
  log = createLog('silent'),
} = {}): Promise<Sending> {
  const scoped = await openSqlite(':memory:')
  const { store } = scoped
  const clock = createTestClock(start)
  const tries: Try[] = []
  const outcomes: string[] = []
  let givenUp = 0
  const post = (url: string, message: Message, signal: AbortSignal): Promise<PostResult> => {
    const { promise, resolve } = Promise.withResolvers<PostResult>()
    const answer = (status: number | null): void => {
      tries.splice(tries.indexOf(own), 1)
      resolve(status === null ? { status, reason: 'it hung' } : { status })
    }
    const own = { url, message, answer }
    signal.addEventListener('abort', () => answer(null))
    tries.push(own)
    return promise
  }
  const sender = createWebhookSender({
    store,
    secrets,
    post,
    textOf: ({ id, state }) => JSON.stringify({ id, state }),
    onTried: (outcome) => outcomes.push(outcome),
    onGivenUp: () => (givenUp += 1),
    clock,
    log,
    random: () => random,
  })
  store.onChange(({ isDeliveryDue }) => isDeliveryDue === true && sender.wake())
  sender.start()
  return {
    store,
    clock,
    sender,
    tries,
    outcomes,
    givenUp: () => givenUp,
    async end(url = hook) {
      const job = await acceptFirst(store, runOf({ webhook: url, claimsFirst: true }), clock.now())
      await store.complete(job, '1', clock.now())
      return job.runId
    },
    nextTry: () => until('a try is under way', () => tries[0]),
    deliveryOf: async (id) => entryAt((await runIn(store, id)).deliveries ?? [], 0),
    async [Symbol.asyncDispose]() {
      sender.stop()
      await sender.drain(0)
      await scoped[Symbol.asyncDispose]()
    },
  }
}

/** Ends the try under way, and resolves to the delivery as that has left it. */
async function answerOne(sending: Sending, id: string, status: number | null): Promise<DeliveryRecord> {
  const { attempts } = await sending.deliveryOf(id)
  ;(await sending.nextTry()).answer(status)
  return until('the outcome is stored', async () => {
    const delivery = await sending.deliveryOf(id)
    return delivery.attempts > attempts && delivery
  })
}

const minuteMs = 60_000
const hourMs = 3_600_000
const waitsMs = [5_000, 30_000, 5 * minuteMs, 30 * minuteMs, 2 * hourMs, 5 * hourMs, 8 * hourMs, 8 * hourMs]

test('a refused webhook is retried after the waits of the contract, and then given up', async () => {
  for (const random of [0, 1]) {
    await using sending = await startSending({ random })
    const { clock, sender } = sending
    const id = await sending.end()
    const ids = new Set<string | undefined>()
    for (const waitMs of waitsMs) {
      ids.add((await sending.nextTry()).message.headers['webhook-id'])
      const delivery = await answerOne(sending, id, waitMs === 5_000 ? null : 500)
      assert.is(delivery.state, 'pending')
      assert.is(delivery.nextAt, Math.round(clock.now() + waitMs * (random === 0 ? 0.9 : 1.1)))
      clock.moveTo(delivery.nextAt ?? 0)
      sender.wake()
    }
    const last = await answerOne(sending, id, 503)
    assert.equal([last.state, last.attempts, last.lastStatus, last.nextAt], ['failed', 9, 503, null])
    assert.is(ids.size, 1, 'the id is the same for every try')
    assert.is(sending.givenUp(), 1)
  }
})

test('2xx is delivered, and 410 ends the tries', async () => {
  await using sending = await startSending()
  for (const [status, state] of [
    [200, 'delivered'],
    [299, 'delivered'],
    [410, 'failed'],
  ] as const) {
    const delivery = await answerOne(sending, await sending.end(), status)
    assert.equal([delivery.state, delivery.lastStatus, delivery.nextAt], [state, status, null])
  }
  for (const status of [301, 400, 500]) {
    assert.is((await answerOne(sending, await sending.end(`https://${status}.example/`), status)).state, 'pending')
  }
  assert.equal(sending.outcomes.toSorted(), ['delivered', 'delivered', ...Array<string>(4).fill('refused')])
})

test('each try is signed with every secret, and has the time of the try', async () => {
  const other = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  await using sending = await startSending({ secrets: [other, webhookSecret] })
  sending.clock.moveTo(Date.now())
  const id = await sending.end()
  const { message } = await sending.nextTry()
  const received = { ...message, path: '', event: JSON.parse(message.body) as never }
  for (const secret of [other, webhookSecret]) verify(received, secret)
  assert.throws(() => verify(received, 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'))
  assert.is(message.headers['webhook-timestamp'], String(Math.floor(sending.clock.now() / 1_000)))
  const at = new Date(sending.clock.now()).toISOString()
  assert.equal(JSON.parse(message.body), { type: 'run.completed', timestamp: at, data: { id, state: 'completed' } })
})

test('a receiver gets one at a time until one was taken, and again when one has failed', async () => {
  await using sending = await startSending()
  const [proven, bad] = ['https://proven.example/', 'https://bad.example/']
  const to = (url: string) => sending.tries.filter((one) => one.url === url)
  await Promise.all(Array.from({ length: 20 }, () => sending.end(bad)))
  const delivery = await answerOneOf(sending, proven, 204)
  assert.is(delivery.state, 'delivered')
  assert.is(to(bad).length, 1)
  await Promise.all(Array.from({ length: 20 }, () => sending.end(proven)))
  await until('it has all it may have', () => to(proven).length === 16)
  for (const one of to(proven)) one.answer(null)
  await until('others follow', () => to(proven).length > 0)
  await answerOneOf(sending, 'https://good.example/', 204)
  assert.equal([to(proven).length, to(bad).length], [1, 1])
})

test('however many receivers fail, others have room', async () => {
  await using sending = await startSending()
  const bad = Array.from({ length: 70 }, (_, nth) => `https://bad${nth}.example/`)
  await Promise.all([...bad, ...bad].map((url) => sending.end(url)))
  const failed = new Set<string>()
  while (failed.size < bad.length) {
    const fresh = await until('one is tried', () => sending.tries.find(({ url }) => !failed.has(url)))
    failed.add(fresh.url)
    fresh.answer(500)
  }
  await until('they have all they may have', () => sending.tries.length === 32)
  for (const path of ['a', 'b']) await answerOneOf(sending, `https://good.example/${path}`, 204)
  assert.is(sending.tries.length, 32)
})

/** Makes one more delivery due, and ends its try. */
async function answerOneOf(sending: Sending, url: string, status: number): Promise<DeliveryRecord> {
  const id = await sending.end(url)
  ;(await until('it is sent', () => sending.tries.find((one) => one.url === url))).answer(status)
  return until('its outcome is stored', async () => {
    const delivery = await sending.deliveryOf(id)
    return delivery.attempts === 1 && delivery
  })
}

test('no more than a bounded number is under way at once', async () => {
  await using sending = await startSending()
  const ids = await Promise.all(Array.from({ length: 80 }, (_, nth) => sending.end(`https://r${nth}.example/`)))
  await until('all places are taken', () => sending.tries.length === 64)
  for (const _ of ids) (await sending.nextTry()).answer(200)
  for (const id of ids) await until('it is delivered', async () => (await sending.deliveryOf(id)).state === 'delivered')
})

test('while the store is unavailable, no try is counted, and no receiver counts as failing', async () => {
  await using sending = await startSending()
  const { store } = sending
  const { getRun } = store
  let failures = 2
  store.getRun = (id) => {
    if (failures === 0) return getRun(id)
    failures -= 1
    return Promise.reject(new AppError('store-unavailable', 'the database does not answer'))
  }
  const ids = [await sending.end(), await sending.end()]
  sending.sender.wake()
  for (const _ of ids) (await sending.nextTry()).answer(200)
  for (const id of ids) {
    const { attempts } = await until('it is delivered', async () => {
      const delivery = await sending.deliveryOf(id)
      return delivery.state === 'delivered' && delivery
    })
    assert.is(attempts, 1)
  }
  assert.equal(sending.outcomes, ['delivered', 'delivered'])
})

test('a run that cannot be read delays its own webhook, and says nothing about the receiver', async () => {
  const warnings: unknown[] = []
  const warn = (_: unknown, message?: string): void => void warnings.push(message)
  await using sending = await startSending({ log: { ...createLog('silent'), warn } })
  const { store, clock, sender } = sending
  const { getRun } = store
  let bad: string | undefined
  store.getRun = async (id) => {
    bad ??= id
    return id === bad ? Promise.reject(new AppError('internal', 'it cannot be read')) : getRun(id)
  }
  const id = await sending.end()
  for (let attempts = 1; attempts <= 9; attempts += 1) {
    const { nextAt } = await until('the try has ended', async () => {
      const delivery = (await getRun(id))?.deliveries?.[0]
      return delivery?.attempts === attempts && delivery
    })
    clock.moveTo(nextAt ?? clock.now())
    sender.wake()
  }
  await answerOneOf(sending, hook, 200)
  assert.equal([sending.givenUp(), sending.outcomes], [1, ['delivered']])
  assert.match(warnings.join(), /^a webhook cannot be made.*,a webhook was given up after 9 tries: it cannot/)
})

test('a delivery whose run was removed is not sent again', async () => {
  await using sending = await startSending()
  const id = await sending.end()
  const { answer } = await sending.nextTry()
  await sending.store.remove(id)
  answer(500)
  sending.clock.moveTo(start + 24 * hourMs)
  const next = await answerOneOf(sending, 'https://next.example/', 200)
  assert.is(next.state, 'delivered')
  assert.equal(sending.tries, [])
})

test('due deliveries wait while nothing sends, and interrupted tries are not counted', async () => {
  await using sending = await startSending()
  const { sender, store } = sending
  const id = await sending.end()
  await sending.nextTry()
  await sender.drain(0)
  assert.is((await sending.deliveryOf(id)).attempts, 0)
  const other = await sending.end()
  const request = { limit: 9, perReceiver: 9, rooms: {}, late: none, after: '', at: start }
  const { deliveries } = await store.claimDeliveries(request)
  assert.equal(new Set(deliveries.map(({ runId }) => runId)), new Set([id, other]))
})

test('a try that ends within the grace is counted', async () => {
  await using sending = await startSending()
  const id = await sending.end()
  const { answer } = await sending.nextTry()
  const drained = sending.sender.drain(60_000)
  answer(200)
  await drained
  assert.is((await sending.deliveryOf(id)).state, 'delivered')
})

test.run()
