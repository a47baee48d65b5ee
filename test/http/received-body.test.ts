/** The bytes of a body: they must be UTF-8, and their digest covers what was sent, however it was split and compressed. */
import { createHash } from 'node:crypto'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { Middleware } from 'koa'
import bodyParser from 'koa-bodyparser'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { AppError } from '../../src/domain/errors.ts'
import { createLargeBodyParser } from '../../src/http/body/large-body-parser.ts'
import { createBodyReader } from '../../src/http/body/read-body.ts'
import { createByteBudget } from '../../src/http/byte-budget.ts'
import { readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { serve } from '../library/instance.ts'
import { expectProblem } from './expect-problem.ts'
import { answersOf, exchange, sendBytes } from './raw.ts'

const maxBytes = 100_000
const json = { 'Content-Type': 'application/json' }
const sha256 = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex')
const packings = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync }

function respondDigest(): Middleware {
  const read = createBodyReader({
    maxBytes,
    largeBodies: createLargeBodyParser(),
    budget: createByteBudget(10 * maxBytes),
  })
  return async (ctx) => {
    ctx.body = (await read(ctx)).digest()
  }
}
const catching: Middleware = async (ctx, next) => {
  try {
    await next()
  } catch (error) {
    ctx.status = error instanceof AppError ? error.status : 500
    ctx.body = 'refused'
  }
}

test('digests the bytes as they were received', async () => {
  await using app = await serve(respondDigest())
  const send = async (headers: Record<string, string>, body: string | Buffer) =>
    (await exchange(app.url, 'POST /', { ...json, 'Content-Length': `${body.length}`, ...headers }, body)).text()
  const large = Buffer.from(JSON.stringify('ü'.repeat(40_000)))
  for (const body of ['{}', ' {}', '{"a":1}\n', '\uFEFF{}', '"\uFFFD"']
    .map((text) => Buffer.from(text))
    .concat(large)) {
    assert.is(await send({}, body), sha256(body))
    for (const [encoding, pack] of Object.entries(packings)) {
      const packed = pack(body)
      assert.is(await send({ 'Content-Encoding': encoding }, packed), sha256(packed), encoding)
    }
  }
  assert.is(await send({}, ''), sha256(''))
  assert.is(await (await exchange(app.url, 'POST /')).text(), sha256(''))
})

test('digests a body that arrives byte by byte, without the framing of chunks', async () => {
  await using app = await serve(respondDigest())
  const body = '{"ü":"€"}'
  const head = 'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n'
  const bytes = [...Buffer.from(body)].map((byte) => Buffer.of(byte))
  const announced = await sendBytes(app.url, `${head}Content-Length: ${bytes.length}\r\n\r\n`, ...bytes)
  const chunks = bytes.flatMap((byte) => ['1\r\n', byte, '\r\n'])
  const inChunks = await sendBytes(app.url, `${head}Transfer-Encoding: chunked\r\n\r\n`, ...chunks, '0\r\n\r\n')
  for (const received of [announced, inChunks]) {
    assert.is(await answersOf(received)[0]?.text(), sha256(body))
  }
})

test('digests the text if a parser of the host app has read it', async () => {
  await using app = await serve(bodyParser(), respondDigest())
  const ask = (body: string) => fetch(app.url, { method: 'POST', headers: json, body })
  for (const body of ['{"a": 1}', '[]']) assert.is(await (await ask(body)).text(), sha256(body))
})

test('refuses a body that is too large before its end, even if it decompresses to nothing', async () => {
  await using app = await serve(catching, respondDigest())
  // A gzip header, and then any number of stored blocks without bytes.
  const endless = Buffer.concat([
    gzipSync('').subarray(0, 10),
    Buffer.alloc(300_000, Buffer.from([0, 0, 0, 0xff, 0xff])),
  ])
  const head =
    'POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n'
  const chunk = [`${endless.length.toString(16)}\r\n`, endless]
  const [answer] = answersOf(await sendBytes(app.url, `${head}Transfer-Encoding: chunked\r\n\r\n`, ...chunk))
  assert.is(answer?.status, 413)
})

test('refuses invalid UTF-8, compressed or not', async () => {
  await using service = await shareService()
  const wrong = {
    'a lone continuation': [0x80],
    'a truncated sequence': [0xe2, 0x82],
    'Latin-1': [0xfc],
    'an overlong form': [0xc0, 0xaf],
    'a surrogate': [0xed, 0xa0, 0x80],
    'above U+10FFFF': [0xf5, 0x80, 0x80, 0x80],
  }
  const around = (bytes: readonly number[]) =>
    Buffer.concat([Buffer.from('{"tasks":[{"name":"echo","input":"\uFFFD'), Buffer.from(bytes), Buffer.from('"}]}')])
  const send = (body: Buffer, headers: Record<string, string> = {}) =>
    exchange(service.url, 'POST /run-tasks', { ...json, 'Content-Length': `${body.length}`, ...headers }, body)
  for (const [what, bytes] of Object.entries(wrong)) {
    const { detail } = await expectProblem(await send(around(bytes)), 'malformed-json')
    assert.match(detail, 'UTF-8', what)
    for (const [encoding, pack] of Object.entries(packings)) {
      const packed = pack(around(bytes))
      await expectProblem(await send(packed, { 'Content-Encoding': encoding }), 'malformed-json')
    }
  }
  for (const [encoding, pack] of Object.entries({ ...packings, identity: (body: Buffer) => body })) {
    const response = await send(pack(around([0xe2, 0x82, 0xac])), { 'Content-Encoding': encoding })
    assert.is((await readRun(response)).result, '\uFFFD€', encoding)
  }
})

test('ignores a byte order mark, and accepts a lone escaped surrogate, as JSON does', async () => {
  await using service = await shareService()
  const marked = await service.post('/run-tasks', '\uFEFF{"tasks":[{"name":"echo","input":"\uFEFFx"}]}')
  assert.is((await readRun(marked)).result, '\uFEFFx')
  await expectProblem(await service.post('/run-tasks', '\uFEFF\uFEFF{}'), 'malformed-json')
  const escaped = await service.post('/run-tasks', String.raw`{"tasks":[{"name":"echo","input":"\ud800"}]}`)
  assert.is((await readRun(escaped)).result, '\ud800')
})

test.run()
