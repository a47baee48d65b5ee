/** The tests' own reader of event streams does what the standard says, wherever the bytes are cut. */
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createEventParser } from '../harness/event-parser.ts'

const parse = (...texts: string[]) => {
  const parser = createEventParser()
  return texts.flatMap((text) => parser.push(Buffer.from(text)))
}

test('reads fields, comments, several lines of data, and nothing before the blank line', () => {
  assert.equal(parse('event: run\nid: 7\ndata: a\ndata:b\ndata:  c\n\ndata\n\n: note\nretry: 10\ndata: cut off\n'), [
    { kind: 'event', type: 'run', id: '7', data: 'a\nb\n c' },
    { kind: 'event', type: 'message', id: null, data: '' },
    { kind: 'comment', text: 'note' },
    { kind: 'retry', ms: 10 },
  ])
  assert.equal(parse('event: empty\n\n\n'), [])
})

test('refuses fields that no client knows', () => {
  for (const line of ['retry: soon', 'dota: x', 'id: a\0b', ' data: x']) assert.throws(() => parse(`${line}\n`))
})

test('finds the same wherever the bytes are cut and however lines end', () => {
  const stream = '\uFEFFevent: run\nid: 12\ndata: {"text":"é😀\u2028"}\n\n:\nretry: 2500\n\ndata: 1\ndata: 2\n\n'
  const expected = parse(stream)
  assert.is(expected.length, 4)
  const bytes = (end: string) => Buffer.from(stream.replaceAll('\n', end))
  fc.assert(
    fc.property(fc.constantFrom('\n', '\r\n', '\r'), fc.array(fc.nat(120)), (end, cuts) => {
      const parser = createEventParser()
      const all = bytes(end)
      const places = [0, ...cuts.toSorted((a, b) => a - b), all.length]
      const parts = places.slice(1).flatMap((place, index) => parser.push(all.subarray(places[index], place)))
      // Nothing follows that could tell a last carriage return from half of a line's end.
      assert.equal(parts.concat(end === '\r' ? parser.push(Buffer.from('\n')) : []), expected)
      assert.is(parser.rest(), '')
    }),
  )
})

test.run()
