/** JSON is found, replaced and shown as it is: every number with its digits, every member in its place. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  parseKeeping,
  rangesOf,
  prettyJson,
  RawJson,
  replaceTexts,
  textOfJson,
  writeJson,
} from '../../src/domain/json.ts'

test('line breaks are all that is added', () => {
  const text = '{"b":12345678901234567890,"10":1.0,"2":[],"a":[1E400,{"x":"{\\"[,:]"}],"e":{}}'
  const shown = prettyJson(text)
  assert.is(
    shown,
    `{
  "b": 12345678901234567890,
  "10": 1.0,
  "2": [],
  "a": [
    1E400,
    {
      "x": "{\\"[,:]"
    }
  ],
  "e": {}
}`,
  )
  assert.is(prettyJson(shown), shown)
})

test('equals JSON.stringify for all values that it can express, also large ones', () => {
  const value = {
    list: Array.from({ length: 500 }, (_, index) => ({ index, text: `\\"${'x'.repeat(300)}\n` })),
    none: null,
  }
  assert.is(prettyJson(JSON.stringify(value)), JSON.stringify(value, null, 2))
  const long = JSON.stringify('y\\"'.repeat(400_000))
  assert.is(prettyJson(long), long)
  for (const scalar of ['null', ' -1.50 ', '"a b"', '[]']) assert.is(prettyJson(scalar), scalar.trim())
})

test('finds values by their path, through lists, whatever their names and texts', () => {
  const find = (text: string, ...path: string[]): string[] =>
    rangesOf(text, path).map(([from, to]) => text.slice(from, to))
  assert.equal(find(' [1, {"a":2}] '), ['[1, {"a":2}]'])
  assert.equal(find('{"a" : -1.0 }', 'a'), ['-1.0'])
  assert.equal(find('{"x":{"a":1},"\\u0061":"\\\\\\"a\\":1,","b":[]}', 'a'), ['"\\\\\\"a\\":1,"'])
  assert.equal(find('[{"a":[{"b":1},[{"b":{}}],2,{"b":null}]},{"a":{"b":[]}},{},[]]', 'a', 'b'), [
    '1',
    '{}',
    'null',
    '[]',
  ])
  assert.equal(find('{"a":true,"b":{"a":false}}', 'a'), ['true'])
  assert.equal(find('"a"', 'a'), [])
  assert.is(replaceTexts('{"a":[{"b": 1.0},{"b":2 }],"b":3}', ['a', 'b'], '0'), '{"a":[{"b": 0},{"b":0 }],"b":3}')
})

test('a path through an array leads to each of its elements, also in the array that is the whole text', () => {
  const text = '[{"rate":1.0},2.0,[{"rate":3.0}]]'
  assert.is(writeJson(parseKeeping(text, [['rate']])), '[{"rate":1.0},2,[{"rate":3.0}]]')
})

test('a value keeps the texts of its parts, and is written with them', () => {
  const text = '{"tasks":[{"name":"a"},{"input":1.0},{"input":{"2":"\\u0041","1":[ ]}},{"input":null}]}'
  const value = parseKeeping(text, [['tasks', 'input']]) as { readonly tasks: readonly { readonly input?: RawJson }[] }
  assert.equal(
    value.tasks.map(({ input }) => input?.text),
    [undefined, '1.0', '{"2":"\\u0041","1":[ ]}', 'null'],
  )
  assert.equal(value.tasks[2]?.input?.parse(), { 1: [], 2: 'A' })
  assert.is(writeJson(value), text)
  assert.is(writeJson(value.tasks[1]?.input), '1.0')
  assert.is(textOfJson(new RawJson('1e2')), '1e2')
  // Elsewhere it is its value.
  assert.is(JSON.stringify(value), JSON.stringify(JSON.parse(text)))
  const data = { like: '"\\u0041"', list: [new RawJson('-0'), '\\u0041'] }
  assert.is(writeJson(data), String.raw`{"like":"\"\\u0041\"","list":[-0,"\\u0041"]}`)
})

test.run()
