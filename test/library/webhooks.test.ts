/** Webhooks of a service inside another program: with its prefix, and sent again by a call. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startReceiver, verify, webhookSecret } from '../harness/receiver.ts'
import { fixtureTasks } from '../harness/service.ts'
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

test.run()
