import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { instantOf, isRunId, newRunId } from '../../src/domain/ids.ts'

test('run ids are unique and sort in the order in which they were made', () => {
  const ids = Array.from({ length: 20_000 }, newRunId)
  assert.equal(ids, [...new Set(ids)].toSorted())
})

test('run ids keep growing when the clock is set back', () => {
  const { now } = Date
  const before = newRunId()
  const setBack = now() - 3_600_000
  try {
    Date.now = () => setBack
    assert.ok(newRunId() > before)
  } finally {
    Date.now = now
  }
  assert.ok(newRunId() > before)
})

test('a clock that was ahead by years is not waited for', () => {
  const now = Date.now()
  newRunId(now + 1e12)
  const ids = [newRunId(now), newRunId(now)]
  assert.equal(ids.map(instantOf), [now, now])
  assert.equal(ids, ids.toSorted())
})

test('a run id contains the time of its creation', () => {
  const from = Date.now()
  // The ids before may have run ahead of the clock by what sorting them took, and never by much.
  const at = Number.parseInt(newRunId().replaceAll('-', '').slice(0, 12), 16)
  assert.ok(Math.abs(at - from) < 60_000, `${at - from} ms apart`)
})

test('a new run id has the form of one', () => {
  for (let index = 0; index < 100; index += 1) assert.ok(isRunId(newRunId()))
})

test('nothing else has the form of a run id', () => {
  const id = newRunId()
  const others = [
    '',
    'undefined',
    '__proto__',
    '00000000-0000-0000-0000-000000000000',
    id.toUpperCase(),
    id.slice(1),
    `${id}0`,
    `${id}\n`,
    ` ${id}`,
    `{${id}}`,
    id.replaceAll('-', ''),
    id.replace(/.$/, 'g'),
    id.replace(/.$/, '１'),
  ]
  // The last digits of an id may all be decimal; then its upper case would be itself.
  for (const other of others.filter((text) => text !== id)) assert.not.ok(isRunId(other), JSON.stringify(other))
})

test.run()
