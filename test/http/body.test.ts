/** A body that is not declared as JSON in UTF-8 is refused and never taken for the default run. */
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun, countJobs } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'
import { answersOf, chunked, exchange, sendBytes } from './raw.ts'

// Where the default run would be found, so that a body taken for it would be answered with 200.
const recipe = fileURLToPath(new URL('../fixtures/tasks/recipe/', import.meta.url))
const json = { 'Content-Type': 'application/json' }
const inChunks = { 'Transfer-Encoding': 'chunked' }

const post = (service: Service, headers: Record<string, string>, body: string | Buffer) =>
  exchange(service.url, 'POST /run-tasks', { ...headers, 'Content-Length': `${Buffer.byteLength(body)}` }, body)

const postInChunks = (service: Service, headers: Record<string, string>, body: string) =>
  exchange(service.url, 'POST /run-tasks', { ...headers, ...inChunks }, chunked(body))

test('refuses a body without a content type', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const body of ['{}', '""', 'null', ' ', 'x', '{"tasks":[{"name":"first"}]}']) {
    await expectProblem(await post(service, {}, body), 'unsupported-media-type')
    await expectProblem(await postInChunks(service, {}, body), 'unsupported-media-type')
  }
  assert.is(await countJobs(service), 0)
})

test('refuses a body of another content type', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const others = [
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonx',
    'application/json-patch+json',
    'application/problem+json',
    'application/json, text/plain',
    'text/plain; application/json',
    'json',
  ]
  for (const type of others) {
    await expectProblem(await post(service, { 'Content-Type': type }, '{}'), 'unsupported-media-type')
    await expectProblem(await postInChunks(service, { 'Content-Type': type }, '{}'), 'unsupported-media-type')
  }
  assert.is(await countJobs(service), 0)
})

test('refuses a body that is only a byte order mark', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const send of [post, postInChunks]) {
    await expectProblem(await send(service, json, '\uFEFF'), 'malformed-json')
    await expectProblem(await send(service, {}, '\uFEFF'), 'unsupported-media-type')
  }
  assert.is(await countJobs(service), 0)
})

test('accepts any spelling of application/json', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const spellings = [
    'application/json',
    'Application/JSON',
    'application/json;charset=utf-8',
    'application/json ; charset=UTF-8',
    'application/json; charset="utf-8"',
    'application/json; version=1; charset=utf-8',
    'application/json;charset=utf8',
    'application/json; Charset="UTF8"',
    'application/json; charset="ut\\f-8"',
    'application/json; profile="a;charset=latin1"',
    'application/json; profile="a\\";charset=latin1"; charset=utf-8',
    'application/json;;',
    'application/json; charset =latin1',
  ]
  for (const type of spellings) {
    assert.is((await post(service, { 'Content-Type': type }, '{}')).status, 200, type)
    assert.is((await postInChunks(service, { 'Content-Type': type }, '{}')).status, 200, type)
  }
})

test('a parameter without a value changes nothing', async () => {
  await using service = await shareService()
  const body = '{"tasks":[{"name":"echo","input":{"__proto__":1}}]}'
  const response = await service.post('/run-tasks', body, { 'Content-Type': 'application/json; charset' })
  assert.is(response.status, 200)
  assert.is(JSON.stringify((await readRun(response)).result), '{"__proto__":1}')
})

test('refuses JSON in any other charset than UTF-8', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const charset of [
    'iso-8859-1',
    'utf-16',
    '"utf-16le"',
    'us-ascii',
    'x-none',
    '',
    'utf-8; charset=latin1',
    'latin1;',
  ]) {
    const type = `application/json; charset=${charset}`
    await expectProblem(await post(service, { 'Content-Type': type }, '{}'), 'unsupported-media-type')
  }
  assert.is(await countJobs(service), 0)
})

test('refuses text that is not JSON', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const body of [
    '{',
    '{"tasks":',
    '{tasks:[]}',
    "{'tasks':[]}",
    '{} {}',
    '{}x',
    ' ',
    '[,]',
    '{"a":01}',
    'undefined',
  ]) {
    await expectProblem(await post(service, json, body), 'malformed-json')
    await expectProblem(await postInChunks(service, json, body), 'malformed-json')
  }
  assert.is(await countJobs(service), 0)
})

test('refuses JSON that is not an object', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const body of ['[]', '[{"tasks":[]}]', '1', '0', 'true', 'false', '"x"', 'null', '""']) {
    for (const response of [await post(service, json, body), await postInChunks(service, json, body)]) {
      assert.is(response.status, 422, `${body} was answered with ${response.status}`)
      assert.equal(pointersOf(await expectProblem(response, 'validation-error')), [''])
    }
  }
  assert.is(await countJobs(service), 0)
})

test('accepts a compressed body', async () => {
  await using service = await shareService()
  const body = Buffer.from('{"tasks":[{"name":"echo","input":"compressed"}]}')
  const encodings = {
    gzip: gzipSync(body),
    'X-GZIP': gzipSync(body),
    deflate: deflateSync(body),
    br: brotliCompressSync(body),
    zstd: zstdCompressSync(body),
    identity: body,
    'identity, gzip,': gzipSync(body),
  }
  for (const [encoding, bytes] of Object.entries(encodings)) {
    const response = await post(service, { ...json, 'Content-Encoding': encoding }, bytes)
    assert.is(response.status, 200, encoding)
    assert.is((await readRun(response)).result, 'compressed')
  }
})

test('accepts a small body that decompresses to a large one, and refuses one that is too large', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const large = (bytes: number) => gzipSync(`{"tags":["a"]${' '.repeat(bytes - 14)}}`)
  const send = (bytes: number) => post(service, { ...json, 'Content-Encoding': 'gzip' }, large(bytes))
  assert.is((await send(1_000_000)).status, 200)
  await expectProblem(await send(1_048_577), 'content-too-large')
})

test('refuses a body that is not compressed as declared', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const whole = gzipSync('{"respond":"first"}')
  for (const bytes of [Buffer.from('{}'), whole.subarray(0, -4), whole.subarray(0, 5)]) {
    await expectProblem(await post(service, { ...json, 'Content-Encoding': 'gzip' }, bytes), 'malformed-json')
  }
  assert.is(await countJobs(service), 0)
})

test('refuses an unknown encoding', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const encoding of ['zz', 'compress', 'gzip, gzip']) {
    const response = await post(service, { ...json, 'Content-Encoding': encoding }, '{}')
    const { detail } = await expectProblem(response, 'unsupported-media-type')
    assert.ok(detail.includes(encoding))
    assert.is(response.headers.get('Accept-Encoding'), 'gzip, deflate, br, zstd, identity')
  }
})

test('refuses a body that is declared twice', async () => {
  await using service = await shareService({ tasksDir: recipe })
  for (const types of [
    ['application/json', 'text/plain'],
    ['text/plain', 'application/json'],
  ]) {
    const head = types.map((type) => `Content-Type: ${type}\r\n`).join('')
    const [answer] = answersOf(
      await sendBytes(
        service.url,
        `POST /run-tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${head}Content-Length: 2\r\n\r\n{}`,
      ),
    )
    assert.is(answer?.status, 415)
  }
})

test('the connection of a refused body can be reused', async () => {
  await using service = await shareService({ tasksDir: recipe })
  const refused = 'POST /run-tasks HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello'
  const response = await exchange(service.url, `${refused}GET /livez`)
  assert.is(response.status, 415)
  assert.ok((await response.text()).endsWith('{"status":"ok"}'))
})

test.run()
