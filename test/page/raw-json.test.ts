/** JSON is shown as it is: every number with its digits, every member in its place. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { prettyJson } from '../../web/run/raw-json.ts'

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

test('is that of JSON.stringify for what it can say, also where it is large', () => {
  const value = {
    list: Array.from({ length: 500 }, (_, index) => ({ index, text: `\\"${'x'.repeat(300)}\n` })),
    none: null,
  }
  assert.is(prettyJson(JSON.stringify(value)), JSON.stringify(value, null, 2))
  const long = JSON.stringify('y\\"'.repeat(400_000))
  assert.is(prettyJson(long), long)
  for (const scalar of ['null', ' -1.50 ', '"a b"', '[]']) assert.is(prettyJson(scalar), scalar.trim())
})

test.run()
