/** Webhooks of a service inside another program: with its prefix, and sent again by a call. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startReceiver, verify, webhookSecret } from '../harness/receiver.ts'
import { fixtureTasks } from '../harness/service.ts'
import { temporaryDirectory } from '../harness/store-sqlite.ts'
import { until } from '../harness/until.ts'

import { createForerunner } from 'forerunner'

test('a webhook has the addresses of its host, and a call sends it again', async () => {
  await using receiver = await startReceiver()
  await using forerunner = createForerunner({
    prefix: '/jobs',
    tasksDir: fixtureTasks,
    databaseUrl: 'sqlite::memory:',
    webhookSecret: [webhookSecret],
    webhookAllowPrivate: true,
    logLevel: 'silent',
  })
  await forerunner.start()
  const { id } = await forerunner.runTasks({ tasks: [{ name: 'echo' }], webhook: { url: receiver.url } })
  const [received] = await receiver.gets(1)
  if (received === undefined) throw new Error('nothing came')
  verify(received)
  assert.is(received.event.data.links.self, `/jobs/runs/${id}`)
  const deliveryId = await until('it is delivered', async () => {
    const [delivery] = (await forerunner.getRun(id)).deliveries ?? []
    return delivery?.state === 'delivered' && delivery.id
  })
  assert.is((await forerunner.retryDelivery(id, deliveryId)).id, id)
  const [, again] = await receiver.gets(2)
  assert.is(again?.headers['webhook-id'], deliveryId)
})

test('a service without a secret warns once that webhooks are not sent', async () => {
  using directory = temporaryDirectory()
  const options = { tasksDir: fixtureTasks, databaseUrl: `sqlite:${join(directory.path, 'runs.db')}` }
  const webhook = { url: 'https://user@127.0.0.1:9' }
  const later = { name: 'echo', delayMs: 60_000 }
  const ids: string[] = []
  {
    await using sending = createForerunner({ ...options, webhookSecret: [webhookSecret], logLevel: 'silent' })
    await sending.start()
    ids.push((await sending.runTasks({ tasks: [{ name: 'echo' }], webhook })).id)
    ids.push((await sending.runTasks({ tasks: [later], webhook, respond: 'none' })).id)
  }
  const warnings: string[] = []
  const ignore = (): void => {}
  const warn = (...line: unknown[]): void => void warnings.push(String(line.at(-1)))
  await using silent = createForerunner({ ...options, logger: { debug: ignore, info: ignore, warn, error: ignore } })
  await silent.start()
  await until('it warns', () => warnings.length > 0)
  await silent.cancel(ids[1] ?? '')
  assert.match(warnings.join(), /^there are webhooks to send, .* sends none$/)
})

test.run()
