/** Webhooks over HTTP: asked for, signed, sent, shown, and sent again on request. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RunView } from '../../src/http/views/run.ts'
import { startReceiver, take, verify, webhookSecret, type Respond } from '../harness/receiver.ts'
import { readProblem, readRun } from '../harness/run.ts'
import { startService, type Service } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

const sends = { webhookSecret: [webhookSecret], webhookAllowPrivate: true }

async function post(service: Service, url: string, members: object = {}): Promise<RunView> {
  const body = { tasks: [{ name: 'echo', input: 'hello' }], webhook: { url }, ...members }
  return readRun(await service.post('/run-tasks', body))
}

type Delivery = NonNullable<RunView['deliveries']>[number]

/** The run when its last delivery is so. */
function delivered(service: Service, id: string, isSo: (delivery: Delivery) => boolean): Promise<Delivery> {
  return until('the delivery is so', async () => {
    const delivery = (await readRun(await service.get(`/runs/${id}`))).deliveries?.at(-1)
    return delivery !== undefined && isSo(delivery) && delivery
  })
}

const isDelivered = ({ state }: Delivery): boolean => state === 'delivered'

test('the end of a run is posted, signed, with the run', async () => {
  await using receiver = await startReceiver()
  await using service = await startService(sends)
  const url = `${receiver.url}/runs?of=mine`
  const large = 'x'.repeat(20_000)
  const tasks = [{ name: 'echo', input: large }, { name: 'echo', input: 1 }, { name: 'fail' }]
  const accepted = await post(service, url, { tasks: tasks.slice(0, 2) })
  const [webhook] = await receiver.gets(1)
  if (webhook === undefined) throw new Error('nothing came')
  verify(webhook)
  const { path, headers, event } = webhook
  assert.equal([path, headers['content-type']], ['/runs?of=mine', 'application/json'])
  assert.match(headers['user-agent'] ?? '', /^Forerunner\//)
  assert.equal([event.type, event.timestamp, event.data.id], ['run.completed', event.data.finishedAt, accepted.id])
  const [first, second] = event.data.jobs
  assert.equal([first?.resultBytes, second?.result], [large.length + 2, 1], 'a large result is left out')

  const delivery = await delivered(service, accepted.id, isDelivered)
  const id = headers['webhook-id']
  assert.equal(delivery, { id, url, state: 'delivered', attempts: 1, lastStatus: 204, nextAt: null })
  const failed = await readRun(
    await service.post('/run-tasks', { respond: 'none', tasks: tasks.slice(2), webhook: { url } }),
  )
  assert.equal(failed.deliveries, [])
  await delivered(service, failed.id, isDelivered)
  const cancelled = await post(service, url, { respond: 'none', tasks: [{ name: 'echo', delayMs: 60_000 }] })
  await service.post(`/runs/${cancelled.id}/cancel`)
  await delivered(service, cancelled.id, isDelivered)
  assert.equal(
    receiver.received.map(({ event: { type } }) => type),
    ['run.completed', 'run.failed', 'run.cancelled'],
  )
})

test('deliveries are part of a run that has a webhook alone, change its entity tag, and are left out in lists', async () => {
  await using receiver = await startReceiver()
  await using service = await startService(sends)
  const plain = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  assert.not.ok('deliveries' in plain)
  const { id } = await post(service, receiver.url.replace('//', '//me:secret@'))
  const { url } = await delivered(service, id, isDelivered)
  assert.is(url, `${receiver.url}/`, 'who sends it is not shown')
  const list = (await (await service.get('/runs')).json()) as { runs: object[] }
  assert.equal(
    list.runs.filter((run) => 'deliveries' in run),
    [],
  )
  const read = await service.get(`/runs/${id}`)
  const { version } = await readRun(read)
  const tag = read.headers.get('ETag') ?? ''
  const ask = async (known: string) => (await service.get(`/runs/${id}`, { 'If-None-Match': known })).status
  assert.is(await ask(tag), 304)
  assert.is(await ask(`W/"${version}"`), 304, 'a client may know the version alone')
  assert.is(await ask(`W/"${version}-before"`), 200)
})

test('a webhook needs a secret, and an address', async () => {
  await using service = await startService({ webhookSecret: [] })
  const body = { tasks: [{ name: 'echo' }], webhook: { url: 'https://hooks.example' } }
  const problem = await expectProblem(await service.post('/run-tasks', body), 'validation-error')
  assert.equal(
    problem.errors?.map(({ pointer }) => pointer),
    ['/webhook'],
  )
  await using signing = await startService(sends)
  for (const [webhook, pointer] of [
    [{ url: 'hooks.example' }, '/webhook/url'],
    [{ url: 'ftp://hooks.example' }, '/webhook/url'],
    [{ url: 'https://hooks.example:0' }, '/webhook/url'],
    [{ url: 'https://me%zz@hooks.example' }, '/webhook/url'],
    [{ url: 'https://me:%ff@hooks.example' }, '/webhook/url'],
    [{ url: `https://hooks.example/${'x'.repeat(2_048)}` }, '/webhook/url'],
    [{ url: 7 }, '/webhook/url'],
    [{}, '/webhook/url'],
    [null, '/webhook'],
    ['https://hooks.example', '/webhook'],
    [{ url: 'https://hooks.example', secret: 'x' }, '/webhook/secret'],
  ] as const) {
    const { errors } = await expectProblem(await signing.post('/run-tasks', { webhook }), 'validation-error')
    assert.is(errors?.[0]?.pointer, pointer)
  }
  assert.is(((await (await signing.get('/runs')).json()) as { runs: unknown[] }).runs.length, 0)
})

test('WEBHOOK_URL is for runs that name no address of their own', async () => {
  await using common = await startReceiver()
  await using own = await startReceiver()
  await using service = await startService({ ...sends, webhookUrl: common.url })
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  const other = await post(service, own.url)
  await Promise.all([common.gets(1), own.gets(1)])
  for (const run of [id, other.id]) await delivered(service, run, isDelivered)
  assert.equal([common.received[0]?.event.data.id, common.received.length], [id, 1])
  assert.equal([own.received[0]?.event.data.id, own.received.length], [other.id, 1])
})

test('an address that is not public is refused at the try', async () => {
  await using receiver = await startReceiver()
  await using service = await startService({ webhookSecret: [webhookSecret] })
  for (const url of [receiver.url, receiver.url.replace('127.0.0.1', 'localhost')]) {
    const { id } = await post(service, url)
    const delivery = await delivered(service, id, ({ attempts }) => attempts === 1)
    assert.equal([delivery.state, delivery.lastStatus], ['pending', null])
    const waitMs = Date.parse(delivery.nextAt ?? '') - Date.now()
    assert.ok(waitMs > 0 && waitMs <= 5_500, `it waits ${waitMs} ms`)
  }
  assert.equal(receiver.received, [])
})

test('410 ends the tries, and a requested retry sends it again', async () => {
  const statuses = [410, 302, 200, 200]
  const respond: Respond = (response, _request, nth) =>
    void response.writeHead(statuses[nth] ?? 500, { Location: '/elsewhere' }).end()
  await using receiver = await startReceiver(respond)
  await using service = await startService(sends)
  const { id } = await post(service, receiver.url)
  const gone = await delivered(service, id, ({ state }) => state === 'failed')
  assert.equal([gone.attempts, gone.lastStatus, gone.nextAt], [1, 410, null])
  const retry = async (): Promise<RunView> => {
    const response = await service.post(`/runs/${id}/deliveries/${gone.id}/retry`)
    assert.is(response.status, 202)
    return readRun(response)
  }
  assert.is((await retry()).id, id)
  // A redirect is not followed: it is tried again later, or at once on request.
  const redirected = await delivered(service, id, ({ lastStatus }) => lastStatus === 302)
  assert.equal([redirected.state, redirected.attempts], ['pending', 1])
  await retry()
  assert.is((await delivered(service, id, isDelivered)).attempts, 2)
  await retry()
  await receiver.gets(4)
  assert.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])), new Set([gone.id]))
  assert.equal(new Set(receiver.received.map(({ path }) => path)), new Set(['/']))

  const unknown = [`${gone.id}0`, 'msg_1', gone.id.toUpperCase(), '%00']
  for (const wrong of unknown) {
    const problem = await expectProblem(
      await service.post(`/runs/${id}/deliveries/${wrong}/retry`),
      'delivery-not-found',
    )
    assert.is(problem.runId, id)
  }
  const nobody = '019aaaaa-0000-7000-8000-000000000000'
  const missing = await service.post(`/runs/${nobody}/deliveries/${gone.id}/retry`)
  assert.match((await readProblem(missing)).type, 'run-not-found')
})

test('a run that is retried and ends again is reported again, under another id', async () => {
  await using receiver = await startReceiver()
  await using service = await startService(sends)
  const { id } = await post(service, receiver.url, { respond: 'none', tasks: [{ name: 'fail' }] })
  await receiver.gets(1)
  await service.post(`/runs/${id}/jobs/0/retry`)
  await receiver.gets(2)
  await delivered(service, id, isDelivered)
  const { deliveries = [] } = await readRun(await service.get(`/runs/${id}`))
  assert.equal(
    deliveries.map((delivery) => delivery.id),
    receiver.received.map(({ headers }) => headers['webhook-id']),
  )
  assert.is(new Set(deliveries.map((delivery) => delivery.id)).size, 2)
  receiver.received.forEach((received) => verify(received))
})

test('a receiver that hangs holds up neither others nor the end of the service', async () => {
  await using hanging = await startReceiver(() => {})
  await using good = await startReceiver(take)
  await using service = await startService({ ...sends, shutdownGraceMs: 20 })
  for (let runs = 0; runs < 3; runs += 1) await post(service, hanging.url)
  await hanging.gets(1)
  const { id } = await post(service, good.url)
  await delivered(service, id, isDelivered)
  await service.stop()
  assert.is(hanging.received.length, 1)
})

test.run()
