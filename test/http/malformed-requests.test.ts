/** What is no HTTP request is answered as a problem, in turn, and ends its connection and nothing else. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attend } from '../fixtures/tasks/meet.ts'
import { listRuns, readProblem, readRun } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { answersOf, exchange, sendBytes } from './raw.ts'

const post = 'POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
const body = '{"tasks":[{"name":"echo","input":"x"}]}'

async function expectRefused(service: Service, status: number, ...pieces: string[]): Promise<void> {
  const [answer, ...more] = answersOf(await sendBytes(service.url, ...pieces))
  const what = JSON.stringify(pieces[0]?.slice(0, 80))
  assert.ok(answer, `${what} was not answered`)
  assert.equal(more, [], what)
  assert.is(answer.status, status, what)
  assert.is(answer.headers.get('Content-Type'), 'application/problem+json', what)
  assert.is(answer.headers.get('Connection'), 'close', what)
  assert.is(answer.headers.get('X-Content-Type-Options'), 'nosniff', what)
  const problem = await readProblem(answer)
  assert.is(problem.type, 'about:blank', what)
  assert.is(problem.status, status, what)
  assert.ok(problem.title.length > 0 && problem.detail.length > 0, what)
}

async function expectNoRuns(service: Service): Promise<void> {
  assert.equal(await listRuns(service), [])
}

test('refuses malformed requests', async () => {
  await using service = await shareService()
  const lines = ['hello', 'GET', 'GET /livez HTTP/9', 'FETCH /livez HTTP/1.1', 'GET  HTTP/1.1', '\u0016\u0003\u0001']
  for (const line of lines) await expectRefused(service, 400, `${line}\r\n\r\n`)
  await expectRefused(service, 400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  assert.is((await service.get('/livez')).status, 200)
})

test('header fields that are malformed, contradictory or missing', async () => {
  await using service = await shareService()
  const fields = [
    `Content-Length: ${body.length}\r\nContent-Length: ${body.length + 1}`,
    `Content-Length: ${body.length}\r\nContent-Length: ${body.length}`,
    `Content-Length: ${body.length}, ${body.length}`,
    `Content-Length: ${body.length}\r\nTransfer-Encoding: chunked`,
    `Transfer-Encoding: chunked\r\nContent-Length: ${body.length}`,
    `Content-Length: -1`,
    `Content-Length: +${body.length}`,
    `Content-Length: 0x27`,
    `Content-Length: 1e1`,
    `Content-Length: 99999999999999999999`,
    `Content-Length : ${body.length}`,
    `Transfer-Encoding: chunked, identity`,
    `X-Null: a\0b`,
    `X Space: a`,
    `: no name`,
  ]
  for (const field of fields) await expectRefused(service, 400, `${post}${field}\r\n\r\n${body}`)
  await expectRefused(service, 400, 'GET /livez HTTP/1.1\r\n\r\n')
  await expectNoRuns(service)
})

test('a header that is too large', async () => {
  await using service = await shareService()
  for (const bytes of [20_000, 2_000_000]) {
    await expectRefused(service, 431, `GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: ${'x'.repeat(bytes)}\r\n\r\n`)
    await expectRefused(service, 431, `GET /${'x'.repeat(bytes)} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
})

test('malformed chunks, and a body that ends too early', async () => {
  await using service = await shareService()
  const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`
  for (const chunk of ['zz\r\n{}\r\n0\r\n\r\n', '-1\r\n', '2\r\n{}x\r\n0\r\n\r\n', 'ffffffffffffffffff\r\n{}']) {
    await expectRefused(service, 400, `${chunked}${chunk}`)
    await expectRefused(service, 400, chunked, chunk)
  }
  await expectRefused(service, 413, `${chunked}2;${'x'.repeat(20_000)}\r\n{}\r\n0\r\n\r\n`)
  await expectNoRuns(service)
})

test('a target that is no URL, and CONNECT to another host', async () => {
  await using service = await shareService()
  for (const target of [
    'http://[',
    'http://[::1/livez',
    'http://',
    'http:///livez',
    'http://a:99999999/livez',
    'http://a b/livez',
  ]) {
    await expectRefused(service, 400, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  for (const target of ['ftp://x/livez', 'file:///livez', 'livez', '?livez', '#', '\\livez']) {
    await expectRefused(service, 400, `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
  }
  await expectRefused(service, 501, 'CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n')
})

test('accepts a target with any scheme and authority', async () => {
  await using service = await shareService()
  for (const target of [`${service.url}/livez`, 'HTTPS://example.org/livez?a=[', 'http://u:p@[::1]:80/livez']) {
    assert.is((await exchange(service.url, `GET ${target}`)).status, 200, target)
  }
  for (const target of ['http://example.org', 'http://example.org?x=/livez']) {
    const root = await exchange(service.url, `GET ${target}`)
    assert.is(root.status, 200, target)
  }
  for (const target of ['http://example.org/runs/../livez', 'http://livez/', 'http://example.org//livez']) {
    const response = await exchange(service.url, `GET ${target}`)
    assert.not.match(await response.text(), '"ok"', target)
  }
})

test('treats an incomplete percent-encoding as literal text', async () => {
  await using service = await shareService()
  for (const path of ['/runs/%', '/runs/%zz', '/runs/%c3%28', '/runs/%00', '/runs/a%2fb', '/runs/..%2flivez']) {
    const response = await exchange(service.url, `GET ${path}`)
    assert.is((await readProblem(response)).type, '/problems/run-not-found', path)
  }
  for (const path of [
    '/runs/%/jobs/%',
    '/problems/%',
    '/%6civez',
    '/livez%20',
    '/livez%00',
    '/livez/..',
    '//livez',
    '///',
  ]) {
    assert.is((await exchange(service.url, `GET ${path}`)).status, 404, path)
  }
})

test('finishes a response in progress before it refuses what followed its request', async () => {
  // However slow the machine: a first job that overruns its budget would begin again in the pool.
  await using service = await shareService()
  const meeting = { meeting: `${service.url}/behind`, count: 2 }
  const request = JSON.stringify({ tasks: [{ name: 'meet', input: meeting }] })
  const sent = `${post}Content-Length: ${request.length}\r\n\r\n${request}`
  const received = sendBytes(service.url, `${sent}this is no request\r\n\r\n`, 'and neither is this\r\n\r\n')
  await attend(meeting, 'the test')
  const [answer, refusal, ...more] = answersOf(await received)
  assert.is(answer?.status, 200)
  assert.is((await readRun(answer ?? new Response())).result, 2)
  assert.is(refusal?.status, 400)
  assert.equal(more, [])
})

test('responds to the requests before a malformed body, each in its turn', async () => {
  await using service = await shareService()
  const good = `${post}Content-Length: ${body.length}\r\n\r\n${body}`
  const answers = answersOf(
    await sendBytes(service.url, `${good}${good}${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`),
  )
  assert.equal(
    answers.map(({ status }) => status),
    [200, 200, 400],
  )
})

test.run()
