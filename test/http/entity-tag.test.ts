/** Lists of entity tags, as RFC 9110 writes them in If-None-Match. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { entityTagOf, hasVersion, parseEntityTags } from '../../src/http/entity-tag.ts'

const holds = (field: string, version = 4) => hasVersion(parseEntityTags(field), version)

test('a tag holds for its version, weak or strong, alone or in a list', () => {
  const fields = [
    'W/"4"',
    '"4"',
    ' "4"\t',
    '"3", W/"4"',
    '"4","5"',
    ', ,"4",',
    '"a,b" , "4"',
    '"a", "4" ,"b"',
    '"\\", "4"',
  ]
  for (const field of fields) assert.ok(holds(field), field)
})

test('another tag does not', () => {
  for (const field of ['', '"5"', '""', 'W/"44"', '"4 "', '"a,4,b"', '",4,"', '"W/4"']) assert.not(holds(field), field)
})

test('a field that is no list of tags holds for nothing', () => {
  for (const field of [
    '4',
    'w/"4"',
    'W/ "4"',
    '"4',
    '"a "4"',
    '"4" "5"',
    '"4"; x',
    '"a", 4, "4"',
    '"a b", "4"',
    '*, "4"',
  ])
    assert.not(holds(field), field)
})

test('the star holds for whatever there is', () => {
  assert.is(parseEntityTags(' * '), 'any')
  assert.ok(holds('*', 1))
})

test('finds the tag that it writes among any others', () => {
  const tags = fc.string({ unit: fc.constantFrom(...'!#,;*/W\\4é'.split('')), maxLength: 5 }).map((text) => `"${text}"`)
  const others = fc.array(tags, { maxLength: 3 })
  const property = fc.property(others, fc.nat(), others, (before, version, after) => {
    const field = [...before, entityTagOf(version), ...after].join(', ')
    assert.ok(holds(field, version), field)
    assert.is(holds([...before, ...after].join(','), version), [...before, ...after].includes(`"${version}"`))
  })
  fc.assert(property)
})

test('takes no longer for what is written to take long', () => {
  for (const part of ['"', ' ', ',', '" ', 'W/', '"a" ', '"a",']) {
    const startedAt = performance.now()
    parseEntityTags(`${part.repeat(100_000)}x`)
    assert.ok(performance.now() - startedAt < 2_000, part)
  }
})

test.run()
