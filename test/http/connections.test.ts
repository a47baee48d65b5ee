/** Requests in pieces, pipelined, with wrong lengths, and from clients that disconnect half-way. */
import { once } from 'node:events'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listRuns, readRun } from '../harness/run.ts'
import { shareService, startService } from '../harness/service.ts'
import { until } from '../harness/until.ts'
import { answersOf, open, sendBytes } from './raw.ts'

const json = 'Content-Type: application/json'
const last = 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'

function request(input: unknown, name = 'echo', connection = 'keep-alive'): string {
  const body = JSON.stringify({ tasks: [{ name, input }] })
  const fields = [json, `Content-Length: ${Buffer.byteLength(body)}`, `Connection: ${connection}`]
  return ['POST /run-tasks HTTP/1.1', 'Host: x', ...fields, '', body].join('\r\n')
}

test('accepts a request that arrives byte by byte', async () => {
  await using service = await shareService()
  const bytes = [...Buffer.from(request('in pieces: ü€😀', 'echo', 'close'))].map((byte) => Buffer.of(byte))
  const [answer] = answersOf(await sendBytes(service.url, ...bytes))
  assert.is((await readRun(answer ?? new Response())).result, 'in pieces: ü€😀')
})

test('responds to pipelined requests in their order', async () => {
  await using service = await shareService()
  const inputs = Array.from({ length: 40 }, (_, index) => index)
  // The first takes longest, so that its answer is the last to be known.
  const all = [request({ ms: 200 }, 'wait'), ...inputs.map((input) => request(input)), last].join('')
  const answers = answersOf(await sendBytes(service.url, all.slice(0, 1_000), all.slice(1_000)))
  const bodies = await Promise.all(answers.slice(0, -1).map(readRun))
  assert.equal(
    bodies.map(({ result }) => result),
    [200, ...inputs],
  )
})

test('reads the announced length: longer is another request, shorter is none', async () => {
  await using service = await shareService()
  const body = '{"tasks":[{"name":"echo"}]}'
  const post = (length: number) =>
    `POST /run-tasks HTTP/1.1\r\nHost: x\r\n${json}\r\nContent-Length: ${length}\r\n\r\n${body}`
  const longer = answersOf(await sendBytes(service.url, `${post(body.length)}garbage\r\n\r\n`))
  assert.equal(
    longer.map(({ status }) => status),
    [200, 400],
  )
  assert.is((await listRuns(service)).length, 1)
  // The next request is taken for the rest of the body.
  const swallowing = answersOf(await sendBytes(service.url, post(body.length + last.length), last + last))
  assert.equal(
    swallowing.map(({ status }) => status),
    [400, 200],
  )
  const socket = open(service.url)
  socket.end(post(body.length + 1))
  const [data] = (await once(socket, 'data')) as [Buffer]
  assert.match(data.toString(), /^HTTP\/1\.1 400 /)
  assert.is((await listRuns(service)).length, 1)
})

test('stores nothing of an upload that was cut off', async () => {
  await using service = await shareService()
  const whole = Buffer.from(request('x'.repeat(200_000)))
  const headEnd = whole.indexOf('\r\n\r\n') + 4
  for (const length of [headEnd, headEnd + 1, 100_000, whole.length - 1]) {
    for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
      const socket = open(service.url)
      await new Promise((sent) => socket.write(whole.subarray(0, length), sent))
      socket.resume()[leave]()
      await once(socket, 'close')
    }
  }
  const response = await service.post('/run-tasks', { tasks: [{ name: 'echo', input: 'whole' }] })
  assert.is((await readRun(response)).result, 'whole')
  assert.is((await listRuns(service)).length, 1)
})

test('a connection beyond the limit gets 503, and idle ones make room', async () => {
  await using service = await startService({}, { maxConnections: 2 })
  const idle = open(service.url)
  idle.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(idle, 'data')
  const silent = open(service.url)
  // It waits for a request, and has to go when all places are taken.
  await once(idle, 'close')
  const third = open(service.url)
  await once(third, 'connect')
  assert.match(await sendBytes(service.url, last), /^HTTP\/1\.1 503 [^]*too many connections are open/)
  silent.destroy()
  third.destroy()
  await until('there is room again', async () => (await sendBytes(service.url, last)).startsWith('HTTP/1.1 200'))
})

test.run()
