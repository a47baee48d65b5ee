/** Server-sent events by the standard's rules, cut into pieces anywhere. */
import { array, assert as check, constantFrom, nat, property } from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createEventParser, type ServerEvent } from '../../src/client/watch.ts'

function parse(...pieces: string[]): ServerEvent[] {
  const take = createEventParser()
  return pieces.flatMap((piece) => take(piece))
}

const event = (data: string, name = 'message', lastEventId = '') => ({ name, data, lastEventId })

test('reads fields as the standard says', () => {
  assert.equal(parse('data: a\n\n'), [event('a')])
  assert.equal(parse('data:a\n\n'), [event('a')], 'the space is optional')
  assert.equal(parse('data:  a\n\n'), [event(' a')], 'and only one is taken away')
  assert.equal(parse('data: a: b\n\n'), [event('a: b')])
  assert.equal(parse('data: a\ndata\ndata: b\n\n'), [event('a\n\nb')])
  assert.equal(parse('data\n\n'), [event('')])
  assert.equal(parse('event: run\nid: 4\ndata: a\n\n'), [event('a', 'run', '4')])
  assert.equal(parse(': comment\nother: x\ndata: a\nData: b\n\n'), [event('a')])
})

test('dispatches nothing without data or before the blank line', () => {
  assert.equal(parse('event: run\n\ndata: a\n\n'), [event('a')], 'the name is not kept for the next one')
  assert.equal(parse(':\n\n\n\n'), [])
  assert.equal(parse('data: a\n'), [])
})

test('keeps the last id for the events that follow', () => {
  const take = createEventParser({ lastEventId: '7' })
  assert.equal(take('data: a\n\n'), [event('a', 'message', '7')])
  assert.equal(take('id: 8\n\ndata: b\n\n'), [event('b', 'message', '8')])
  assert.equal(take('id: a\0b\ndata: c\n\n'), [event('c', 'message', '8')])
  assert.equal(take('id\ndata: d\n\n'), [event('d')])
})

test('accepts only whole numbers as reconnection time', () => {
  const taken: number[] = []
  const take = createEventParser({ onRetry: (ms) => taken.push(ms) })
  for (const wrong of ['', 'x', '1.5', '-1', '1e3', '1 ']) take(`retry: ${wrong}\n`)
  assert.equal(taken, [])
  take('retry: 2500\n')
  assert.equal(taken, [2_500])
})

test('reads the same events wherever they are cut and however their lines end', () => {
  const events = [event('{"a":1}', 'run', '1'), event('x\ny', 'progress', '1'), event('', 'message', '2')]
  const lines = ['event: run', 'id: 1', 'data: {"a":1}', '', ':', 'event: progress', 'data: x', 'data: y', '']
  const all = [...lines, 'id: 2', 'data', '', 'data: never whole']
  const ending = constantFrom('\n', '\r', '\r\n')
  check(
    property(ending, array(nat(130)), (end, cuts) => {
      const text = all.join(end)
      const places = [0, ...cuts.toSorted((a, b) => a - b), text.length]
      const pieces = places.slice(1).map((place, index) => text.slice(places[index], place))
      assert.equal(parse(...pieces), events)
    }),
  )
})

test.run()
