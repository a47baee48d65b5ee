/** GET /runs/events: the number of changes of all runs. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createClient } from '../../src/client/client.ts'
import { createChangeStreams } from '../../src/http/streaming/open-streams.ts'
import { createStreamQuota } from '../../src/http/streaming/event-stream.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'

test('sends an event at once, and then the number of accepted and changed runs', async () => {
  await using service = await shareService()
  const end = new AbortController()
  const events = createClient({ baseUrl: service.url }).watchRuns({ signal: end.signal })
  assert.equal((await events.next()).value, { changes: 0 })
  await service.post('/run-tasks', { tasks: [{ name: 'wait', delayMs: 60_000 }], respond: 'none' })
  const { changes } = (await events.next()).value ?? { changes: 0 }
  assert.ok(changes >= 1, 'a run that only waits is one')
  await service.post('/run-tasks', { tasks: [{ name: 'echo' }, { name: 'echo' }], respond: 'all' })
  let more = 0
  while (more < 3) more += (await events.next()).value?.changes ?? 0
  end.abort()
  await events.next().catch(() => {})
})

test('counts against the limit of all streams, and ends when the service does', async () => {
  const service = await startService({ maxStreams: 1 })
  const response = await service.fetch('/runs/events', { headers: { Accept: 'text/event-stream' } })
  assert.is(response.headers.get('Content-Type'), 'text/event-stream; charset=utf-8')
  await expectProblem(await service.get('/runs/events'), 'too-many-streams')
  assert.is((await service.fetch('/runs/events', { method: 'HEAD' })).status, 200)
  await expectProblem(await service.get('/runs/events', { Accept: 'text/html' }), 'not-acceptable')
  await service.stop()
  assert.match(await response.text(), /^retry: \d+\n\nevent: changes\ndata: \{"changes":0\}\n\n/)
})

test('cuts off a client that reads nothing, and holds one event for it', async () => {
  const quota = createStreamQuota(9)
  const streams = createChangeStreams(quota, { sampleMs: 1, stuckMs: 50 })
  let held = 0
  const server = createServer((_request, response) => {
    streams.open(response).start()
    // More than the system takes for a client that does not read.
    response.write('x'.repeat(16 * 2 ** 20))
    const noter = setInterval(() => {
      streams.noteChange()
      held = Math.max(held, response.writableLength)
    }, 1)
    response.once('close', () => clearInterval(noter))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  const socket = connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1').pause()
  socket.on('error', () => {})
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(server, 'request')
  await until('it is cut off', () => quota.taken() === 0)
  assert.ok(held < 17 * 2 ** 20, `${held} bytes`)
  socket.destroy()
  server.close()
})

test('does not count a client that left before its stream was opened', async () => {
  const quota = createStreamQuota(1)
  const streams = createChangeStreams(quota)
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  const server = createServer((_request, response) => {
    response.once('close', () => {
      streams.open(response).start()
      resolve()
    })
    response.destroy()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  connect(typeof address === 'object' && address !== null ? address.port : 0, '127.0.0.1')
    .on('error', () => {})
    .write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await closed
  assert.is(quota.taken(), 0)
  server.close()
})

test.run()
