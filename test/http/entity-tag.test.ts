/** Lists of entity tags, as RFC 9110 writes them in If-None-Match. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { tagOfVersion, isNotModified } from '../../src/http/request-head.ts'
import { readRun } from '../harness/run.ts'
import { shareService } from '../harness/service.ts'
import { workedMs } from '../harness/worked-ms.ts'

const holds = (field: string, version = 4) => isNotModified(field, tagOfVersion(version))

test('a tag holds for its version, weak or strong, alone or in a list', () => {
  for (const field of ['W/"4"', '"4"', '"3", W/"4"', '"4","5"', ', ,"4",', '"a,b" , "4"', '"a", "4" ,"b"', '"\\", "4"'])
    assert.ok(holds(field), field)
})

test('another tag does not match, nor does a malformed one', () => {
  for (const field of ['', '"5"', '""', 'W/"44"', '"4 "', '"a,4,b"', '",4,"', '"W/4"', '4', 'w/"4"', 'W/ "4"', '"4'])
    assert.not(holds(field), field)
  for (const field of ['"a "4"', '"4" "5"', '"4"; x']) assert.not(holds(field), field)
})

test('the star matches everything', () => {
  assert.ok(holds('*', 1))
})

test('a request with no-cache can still be a 304', async () => {
  await using service = await shareService()
  const { id } = await readRun(await service.post('/run-tasks', { tasks: [{ name: 'echo' }] }))
  for (const path of [`/runs/${id}`, '/runs', '/openapi.json']) {
    const etag = (await service.get(path)).headers.get('ETag') ?? ''
    const again = await service.get(path, { 'If-None-Match': etag, 'Cache-Control': 'no-cache' })
    assert.is(again.status, 304, path)
  }
})

test('finds the tag that it writes among any others', () => {
  const tags = fc.string({ unit: fc.constantFrom(...'!#,;*/W\\4é'.split('')), maxLength: 5 }).map((text) => `"${text}"`)
  const others = fc.array(tags, { maxLength: 3 })
  const property = fc.property(others, fc.nat(), others, (before, version, after) => {
    const field = [...before, tagOfVersion(version), ...after].join(', ')
    assert.ok(holds(field, version), field)
    assert.is(holds([...before, ...after].join(','), version), [...before, ...after].includes(`"${version}"`))
  })
  fc.assert(property)
})

test('takes no longer for adversarial input', () => {
  for (const part of ['"', ' ', ',', '" ', 'W/', '"a" ', '"a",']) {
    const before = workedMs()
    holds(`${part.repeat(100_000)}x`)
    assert.ok(workedMs() - before < 2_000, part)
  }
})

test.run()
