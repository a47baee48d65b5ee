/** The bodies of all requests together have room within bounds: beyond it large ones are refused, and small ones served. */
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createLargeBodyParser } from '../../src/http/body/large-body-parser.ts'
import { createBodyReader } from '../../src/http/body/read-body.ts'
import { createByteBudget } from '../../src/http/byte-budget.ts'
import { sendProblem } from '../../src/http/problem.ts'
import { createLog } from '../../src/log.ts'
import { within } from '../harness/child.ts'
import { listRuns } from '../harness/run.ts'
import { startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { serve } from '../library/instance.ts'
import { expectProblem } from './expect-problem.ts'
import { answersOf, open, sendBytes } from './raw.ts'

const mebibyte = 1_048_576
const large = { tasks: [{ name: 'echo', input: 'x'.repeat(mebibyte / 2) }] }
const head = (fields: string) =>
  `POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n${fields}\r\n\r\n`

test('a large body is refused while others use up the budget, and a small one is not', async () => {
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

test('a body is counted until the response to its request', async () => {
  await using service = await startService({ maxInFlightBytes: mebibyte })
  const slow = { tasks: [{ name: 'wait', input: { ms: 60_000 } }, ...large.tasks] }
  const waiting = service.post('/run-tasks', slow)
  await until('the room is taken', async () => (await service.post('/run-tasks', large)).status === 503)
  const id = await until('it is accepted', async () => {
    const runs = await listRuns(service, '?state=running')
    return runs[0]?.id
  })
  await service.post(`/runs/${id}/cancel`)
  assert.is((await waiting).status, 500)
  await until('there is room again', async () => (await service.post('/run-tasks', large)).status === 200)
})

test('a body larger than the budget fits while there is no other', () => {
  const budget = createByteBudget(10)
  const client = { moved: () => 0, isAwaited: () => false, cutOff: () => assert.unreachable() }
  const [first, second] = [budget.open(client), budget.open(client)]
  assert.is(first.resize(100), true)
  assert.is(second.resize(1), false)
  first.release()
  assert.is(first.resize(100), true, 'what is over holds nothing any more')
  assert.is(second.resize(4), true)
  assert.is(budget.open(client).resize(7), false)
  assert.is(second.resize(3), true)
  assert.is(budget.held(), 3)
})

test('a slow client is cut off when others need its memory, and no other client is', () => {
  let now = 0
  const budget = createByteBudget(40, { now: () => now })
  function holder(bytesPerS: number, isAwaited = true) {
    const held = { isCutOff: false, bytesPerS }
    const moved = () => (now * held.bytesPerS) / 1_000
    const hold = budget.open({ moved, isAwaited: () => isAwaited, cutOff: () => (held.isCutOff = true) })
    assert.ok(hold.resize(10))
    return held
  }
  const fits = (): boolean => {
    const hold = budget.open({ moved: () => 0, isAwaited: () => true, cutOff: () => {} })
    const doesFit = hold.resize(10)
    hold.release()
    return doesFit
  }
  const all = { silent: holder(0), slow: holder(1_000), fast: holder(100_000), served: holder(0, false) }
  const cutOff = (): string[] => Object.entries(all).flatMap(([name, { isCutOff }]) => (isCutOff ? [name] : []))
  now = 4_000
  assert.not(fits(), 'nothing can be said of them yet')
  now = 6_000
  assert.ok(fits())
  assert.equal(cutOff(), ['silent', 'slow'])
  assert.is(budget.held(), 20)

  all.fast.bytesPerS = 0
  const more = [holder(100_000), holder(100_000)]
  now = 12_000
  assert.ok(fits())
  assert.equal(cutOff(), ['silent', 'slow', 'fast'], 'one that has stopped since')
  for (const { isCutOff } of more) assert.not(isCutOff)
})

test('a slow body makes room for others', async () => {
  let now = 0
  const budget = createByteBudget(mebibyte, { now: () => now })
  const largeBodies = createLargeBodyParser()
  const read = createBodyReader({ maxBytes: mebibyte, largeBodies, budget })
  await using app = await serve(
    (ctx, next) => Promise.resolve(next()).catch((error: unknown) => sendProblem(ctx, error, createLog('silent'))),
    async (ctx) => {
      await read(ctx)
      ctx.body = 'taken'
    },
  )
  const slow = open(app.url)
  slow.write(`${head(`Content-Length: ${mebibyte}`)}{`)
  await until('it has its room', () => budget.held() === mebibyte)
  const body = JSON.stringify(large)
  const send = () => fetch(app.url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body })
  assert.is((await send()).status, 503)
  now = 60_000
  const answered = text(slow)
  assert.is((await send()).status, 200)
  const [answer] = answersOf(await within('it is refused', answered))
  assert.equal([answer?.status, answer?.headers.get('Retry-After')], [503, '1'])
  assert.is(budget.held(), 0)
  largeBodies.close()
})

test.run()
