/** The bodies of all requests together have room within bounds: beyond it large ones are refused, and small ones served. */
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createByteBudget } from '../../src/http/byte-budget.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { expectProblem } from './expect-problem.ts'
import { open, sendBytes } from './raw.ts'

const mebibyte = 1_048_576
const large = { tasks: [{ name: 'echo', input: 'x'.repeat(mebibyte / 2) }] }
const head = (fields: string) =>
  `POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n`

test('a large body is refused while those of others take all the room, and a small one is not', async () => {
  await using service = await startService({ maxInFlightBytes: 2 * mebibyte })
  const sockets = [open(service.url), open(service.url)]
  for (const socket of sockets) {
    socket.write(head(`Content-Length: ${mebibyte}\r\nExpect: 100-continue`))
    const [goAhead] = (await once(socket, 'data')) as [Buffer]
    assert.match(goAhead.toString(), '100 Continue')
  }
  const refused = await service.post('/run-tasks', large)
  await expectProblem(refused, 'overloaded')
  assert.is(refused.headers.get('Retry-After'), '1')
  const piece = 'x'.repeat(100_000)
  const growing = await sendBytes(service.url, `${head('Transfer-Encoding: chunked')}186a0\r\n${piece}\r\n`)
  assert.match(growing, 'HTTP/1.1 503')
  assert.is((await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 1 }] })).status, 200)

  for (const socket of sockets) socket.destroy()
  await until('there is room again', async () => (await service.post('/run-tasks', large)).status === 200)
})

test('a body has its room until its request is answered', async () => {
  await using service = await startService({ maxInFlightBytes: mebibyte })
  const slow = { tasks: [{ name: 'wait', input: { ms: 60_000 } }, ...large.tasks] }
  const waiting = service.post('/run-tasks', slow)
  await until('the room is taken', async () => (await service.post('/run-tasks', large)).status === 503)
  const id = await until('it is accepted', async () => {
    const { runs } = (await (await service.get('/runs?state=running')).json()) as { runs: { id: string }[] }
    return runs[0]?.id
  })
  await service.post(`/runs/${id}/cancel`)
  assert.is((await waiting).status, 500)
  await until('there is room again', async () => (await service.post('/run-tasks', large)).status === 200)
})

test('one that is larger than all the room fits in when there is no other', () => {
  const budget = createByteBudget(10)
  const [first, second] = [budget.open(), budget.open()]
  assert.is(first.resize(100), true)
  assert.is(second.resize(1), false)
  first.release()
  assert.is(first.resize(100), true, 'what is over holds nothing any more')
  assert.is(second.resize(4), true)
  assert.is(budget.open().resize(7), false)
  assert.is(second.resize(3), true)
  assert.is(budget.held(), 3)
})

test.run()
