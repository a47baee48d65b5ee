/** The size and the depth of a body are bounded before anything is done with it. */
import { gzipSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readRun } from '../harness/run.ts'
import { type Service, shareService } from '../harness/service.ts'
import { expectProblem, pointersOf } from './expect-problem.ts'
import { chunked, exchange } from './raw.ts'

const maxBodyBytes = 1_000
const json = { 'Content-Type': 'application/json' }

/** A good request of so many bytes. */
function bodyOf(bytes: number): string {
  const empty = JSON.stringify({ tasks: [{ name: 'echo', input: '' }] })
  return empty.replace('""', `"${'x'.repeat(bytes - empty.length)}"`)
}

/** A good request that is nested so many levels deep; the object around everything is the first. */
function nested(levels: number, open = '[', close = ']'): string {
  const outer = 3
  return `{"tasks":[{"name":"echo","input":${open.repeat(levels - outer)}${close.repeat(levels - outer)}}]}`
}

const post = (service: Service, headers: Record<string, string>, body: string | Buffer) =>
  exchange(service.url, 'POST /run-tasks', { ...json, ...headers }, body)

test('accepts a body of the largest size, and refuses one more byte', async () => {
  await using service = await shareService({ maxBodyBytes })
  assert.is((await service.post('/run-tasks', bodyOf(maxBodyBytes))).status, 200)
  await expectProblem(await service.post('/run-tasks', bodyOf(maxBodyBytes + 1)), 'content-too-large')
})

test('counts the bytes of a chunked body', async () => {
  await using service = await shareService({ maxBodyBytes })
  const send = (bytes: number) => post(service, { 'Transfer-Encoding': 'chunked' }, chunked(bodyOf(bytes)))
  assert.is((await send(maxBodyBytes)).status, 200)
  await expectProblem(await send(maxBodyBytes + 1), 'content-too-large')
})

test('counts the decompressed bytes of a body', async () => {
  await using service = await shareService({ maxBodyBytes })
  const send = (text: string) => {
    const bytes = gzipSync(text)
    assert.ok(bytes.length < maxBodyBytes)
    return post(service, { 'Content-Encoding': 'gzip', 'Content-Length': `${bytes.length}` }, bytes)
  }
  assert.is((await send(bodyOf(maxBodyBytes))).status, 200)
  await expectProblem(await send(bodyOf(maxBodyBytes + 1)), 'content-too-large')
  await expectProblem(await send(bodyOf(500_000)), 'content-too-large')
})

test('refuses by the announced length, without waiting for the body', async () => {
  await using service = await shareService({ maxBodyBytes })
  // The last two are beyond what fits into 32 bits.
  for (const length of [maxBodyBytes + 1, 2_000_000_000, 3_000_000_000, 2 ** 32 + 2]) {
    const response = await post(service, { 'Content-Length': `${length}` }, '')
    assert.is(response.headers.get('Connection'), 'close')
    await expectProblem(response, 'content-too-large')
  }
})

test('refuses an endless body as soon as it is too large', async () => {
  await using service = await shareService({ maxBodyBytes })
  const unfinished = `2000\r\n${' '.repeat(0x2000)}\r\n`
  await expectProblem(await post(service, { 'Transfer-Encoding': 'chunked' }, unfinished), 'content-too-large')
})

test('accepts 200 levels of nesting, and no more', async () => {
  await using service = await shareService()
  const response = await service.post('/run-tasks', nested(200))
  assert.is(response.status, 200)
  assert.is(JSON.stringify((await readRun(response)).result), `${'['.repeat(197)}${']'.repeat(197)}`)
  for (const levels of [201, 202, 300]) {
    const tooDeep = await service.post('/run-tasks', nested(levels))
    assert.is(tooDeep.status, 422, `${levels} levels were answered with ${tooDeep.status}`)
    assert.equal(pointersOf(await expectProblem(tooDeep, 'validation-error')), [''])
  }
})

test('refuses 100,000 levels without harm', async () => {
  await using service = await shareService()
  const bodies = [nested(100_000), nested(100_000, '{"a":', '}').replace(':}', ':0}'), '['.repeat(500_000)]
  for (const body of bodies) {
    const response = await service.post('/run-tasks', body)
    await expectProblem(response, body.endsWith('}') ? 'validation-error' : 'malformed-json')
  }
  assert.is((await service.get('/livez')).status, 200)
})

test('accepts a wide body that is not deep', async () => {
  await using service = await shareService()
  const input = Array.from({ length: 50_000 }, () => [[]])
  const response = await service.post('/run-tasks', { tasks: [{ name: 'echo', input }] })
  assert.is(response.status, 200)
  assert.equal((await readRun(response)).result, input)
})

test.run()
