/** A delivery that is due is sent, whenever the process is killed, and with the same id each time. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { makeHome } from '../harness/child.ts'
import { startReceiver, verify, webhookSecret, type Respond } from '../harness/receiver.ts'
import { readRun } from '../harness/run.ts'
import { until } from '../harness/until.ts'

const settings = { WEBHOOK_SECRET: webhookSecret, WEBHOOK_ALLOW_PRIVATE: 'true', THREADS: '1' }

test('a delivery survives kills between the end of its run and the end of a try', async () => {
  let isHanging = true
  const respond: Respond = (response) => {
    if (!isHanging) response.writeHead(200).end()
  }
  await using receiver = await startReceiver(respond)
  await using home = await makeHome({ ...settings, WEBHOOK_URL: receiver.url })
  const ids: string[] = []
  for (let kills = 0; kills < 3; kills += 1) {
    const before = receiver.received.length
    const child = await home.start()
    const { id } = await readRun(
      await child.post('/run-tasks', { tasks: [{ name: 'mark-io', input: { ms: 0, failures: 0 } }] }),
    )
    ids.push(id)
    // Twice while a try is under way, and once as soon as the run has ended.
    if (kills > 0) await receiver.gets(before + 1)
    await child.kill('SIGKILL')
  }
  isHanging = false
  const child = await home.start()
  for (const id of ids) {
    const { deliveries = [] } = await until('it is delivered', async () => {
      const run = await readRun(await child.get(`/runs/${id}`))
      return run.deliveries?.[0]?.state === 'delivered' && run
    })
    const [delivery] = deliveries
    assert.is(deliveries.length, 1)
    assert.is(delivery?.attempts, 1, 'a try that died with its process does not count')
    const own = receiver.received.filter(({ event }) => event.data.id === id)
    assert.equal(new Set(own.map(({ headers }) => headers['webhook-id'])), new Set([delivery?.id]))
    own.forEach((received) => verify(received))
  }
  assert.equal(await child.kill('SIGTERM'), { code: 0, signal: null })
})

test.run()
