/** What can be refused without the body is refused before it is read, and nobody is asked to send it. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ProblemCode } from '../../src/domain/problems.ts'
import { listRuns, readRun, countJobs } from '../harness/run.ts'
import { type Service, shareService, startService } from '../harness/service.ts'
import { expectProblem } from './expect-problem.ts'
import { answersOf, open, sendBytes } from './raw.ts'

const body = JSON.stringify({ tasks: [{ name: 'echo', input: 'sent' }] })
const json = 'Content-Type: application/json'
const waiting = { name: 'wait', input: { ms: 60_000 } }

const head = (line: string, ...fields: string[]) => [`${line} HTTP/1.1`, 'Host: x', ...fields, '', ''].join('\r\n')

/** Announces a body that never comes: once as one who waits for the go-ahead, and once as one who is just slow. */
async function expectRefused(service: Service, code: ProblemCode, line: string, ...fields: string[]): Promise<void> {
  for (const length of [body.length, 1_000_000]) {
    const announced = head(line, `Content-Length: ${length}`, 'Connection: close', ...fields)
    const asking = announced.replace('Connection: close', 'Expect: 100-continue')
    for (const request of [announced, asking]) {
      const received = await sendBytes(service.url, request)
      assert.not.match(received, /100 Continue/)
      const [answer, ...more] = answersOf(received)
      assert.ok(answer, 'there is an answer')
      assert.is(answer.headers.get('Connection'), 'close')
      assert.equal(more, [])
      await expectProblem(answer, code)
    }
  }
}

test('refuses unknown keys, other sites, and unknown paths', async () => {
  await using service = await shareService({ apiKeys: ['key'] })
  await expectRefused(service, 'unauthorized', 'POST /run-tasks', json)
  await expectRefused(service, 'unauthorized', 'POST /run-tasks', json, 'Authorization: Bearer wrong')
  await expectRefused(service, 'not-found', 'POST /nope', json)
  await expectRefused(service, 'method-not-allowed', 'PUT /run-tasks', json, 'Authorization: Bearer key')
  await using keyless = await shareService()
  await expectRefused(keyless, 'cross-site', 'POST /run-tasks', json, 'Sec-Fetch-Site: cross-site')
})

test('refuses other media types, and bodies that are too large', async () => {
  await using service = await startService({ maxBodyBytes: 40 })
  await expectRefused(service, 'unsupported-media-type', 'POST /run-tasks', 'Content-Type: text/plain')
  await expectRefused(service, 'content-too-large', 'POST /run-tasks', json)
})

test('refuses while it is overloaded or shutting down', async () => {
  await using service = await startService({ maxBacklog: 1 })
  assert.is((await service.post('/run-tasks', { respond: 'none', tasks: [waiting] })).status, 202)
  await expectRefused(service, 'overloaded', 'POST /run-tasks', json)
  await service.app.drain()
  await expectRefused(service, 'shutting-down', 'POST /run-tasks', json)
})

test('sends 100 Continue to a client that waits for it, and then reads the body', async () => {
  await using service = await shareService()
  const socket = open(service.url)
  const fields = [json, `Content-Length: ${body.length}`, 'Connection: close', 'Expect: 100-continue']
  socket.write(head('POST /run-tasks', ...fields))
  const [interim] = (await once(socket, 'data')) as [Buffer]
  assert.is(interim.toString(), 'HTTP/1.1 100 Continue\r\n\r\n')
  socket.write(body)
  const [answer] = answersOf(await text(socket))
  assert.ok(answer)
  assert.is((await readRun(answer)).result, 'sent')
})

test('refuses any other expectation', async () => {
  await using service = await shareService()
  const fields = ['Content-Length: 2', json, 'Expect: a-miracle']
  const [answer] = answersOf(await sendBytes(service.url, head('POST /run-tasks', ...fields), '{}'))
  assert.is(answer?.status, 417)
  assert.is(answer?.headers.get('Content-Type'), 'application/problem+json')
})

test('keeps the connection when a small body was not read', async () => {
  await using service = await shareService({ apiKeys: ['key'] })
  const refused = head('POST /run-tasks', json, `Content-Length: ${body.length}`) + body
  const last = head('GET /livez', 'Connection: close')
  const answers = answersOf(await sendBytes(service.url, refused, refused, last))
  assert.equal(
    answers.map(({ status }) => status),
    [401, 401, 200],
  )
})

test('responds to a client that keeps sending ten megabytes, and ends the connection', async () => {
  await using service = await shareService()
  const piece = Buffer.alloc(10_000_000, ' ')
  const framings: [string, (string | Buffer)[]][] = [
    ['Content-Length: 10000000', [piece]],
    ['Transfer-Encoding: chunked', [`${piece.length.toString(16)}\r\n`, piece, '\r\n0\r\n\r\n']],
  ]
  const types: [string, ProblemCode][] = [
    ['application/json', 'content-too-large'],
    ['text/plain', 'unsupported-media-type'],
  ]
  for (const [framing, pieces] of framings) {
    for (const [type, code] of types) {
      const request = head('POST /run-tasks', `Content-Type: ${type}`, framing)
      const [answer, ...more] = answersOf(await sendBytes(service.url, request, ...pieces))
      assert.equal(more, [])
      await expectProblem(answer ?? new Response(), code)
    }
  }
  const asked = await service.fetch('/run-tasks', {
    method: 'POST',
    body: piece,
    headers: { 'Content-Type': 'application/json' },
  })
  await expectProblem(asked, 'content-too-large')
  assert.equal(await listRuns(service), [])
})

test('starts no request after one whose response ends the connection', async () => {
  await using service = await shareService()
  const { hostname, port } = new URL(service.url)
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
  const left = Buffer.alloc(100_000, ' ')
  socket.write(head('POST /run-tasks', 'Content-Type: text/plain', `Content-Length: ${left.length}`))
  const [answer] = answersOf(await text(socket))
  assert.is(answer?.status, 415)
  assert.is(answer?.headers.get('Connection'), 'close')
  socket.write(left)
  socket.end(head('POST /run-tasks', json, `Content-Length: ${body.length}`) + body)
  await once(socket, 'close')
  assert.is(await countJobs(service), 0)
})

test.run()
